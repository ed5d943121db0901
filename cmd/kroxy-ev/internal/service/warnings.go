package service

import "log/slog"

// warnings are what was found doubtful while an order was carried out: the log has them, and whoever gave the order is told.
type warnings struct {
	log  *slog.Logger
	list []string
}

// repeat has the log have them once more: it has been sent elsewhere since.
func (w *warnings) repeat() {
	for _, text := range w.list {
		w.log.Warn("kroxy-ev: " + text)
	}
}

// add warns, in one sentence.
func (w *warnings) add(text string) {
	w.log.Warn("kroxy-ev: " + text)
	w.list = append(w.list, text)
}

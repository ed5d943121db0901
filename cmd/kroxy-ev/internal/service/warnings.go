package service

import "log/slog"

// warnings collects the warnings of one order, and what a reload has changed. Warnings go to the log and to the sender of the order.
type warnings struct {
	log     *slog.Logger
	list    []string
	changes []string // as in Answer
}

// repeat logs all warnings again, after the log's output has changed.
func (w *warnings) repeat() {
	for _, text := range w.list {
		w.log.Warn("kroxy-ev: " + text)
	}
}

// add adds a warning, which is one sentence.
func (w *warnings) add(text string) {
	w.log.Warn("kroxy-ev: " + text)
	w.list = append(w.list, text)
}

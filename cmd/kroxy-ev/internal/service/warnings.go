package service

import "log/slog"

// warnings collects the warnings of one order: they go to the log, and to whoever gave the order, with what a reload has changed.
type warnings struct {
	log     *slog.Logger
	list    []string
	changes []string // as in Answer
}

// repeat logs all of them again, after the log's output has changed.
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

package service

import (
	"context"
	"io"
	"log/slog"
)

// lineHandler makes the lines of an error log, in the form that the log has at the time; and those for a syslog, if there is one.
type lineHandler struct {
	log      *errorLog
	toOutput forms
	toSyslog forms
	messages *syslogLines // that toSyslog writes to; nil if there is to be no line of it in a syslog
}

// forms are handlers for each form that a log may have.
type forms struct{ text, json slog.Handler }

// newForms makes handlers that write lines to w, of records with those attributes that keep leaves.
func newForms(w io.Writer, level slog.Leveler, keep func(groups []string, a slog.Attr) slog.Attr) forms {
	return forms{
		text: slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: keep}),
		json: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if keep != nil {
				a = keep(groups, a)
			}
			if a.Value.Kind() == slog.KindDuration { // as it is in text, with its unit
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}}),
	}
}

func (f forms) with(derive func(slog.Handler) slog.Handler) forms {
	return forms{derive(f.text), derive(f.json)}
}

func (f forms) of(json bool) slog.Handler {
	if json {
		return f.json
	}
	return f.text
}

func newLineHandler(l *errorLog) *lineHandler {
	h := &lineHandler{log: l, messages: &syslogLines{log: l}}
	h.toOutput = newForms(l, &l.level, nil)
	h.toSyslog = newForms(h.messages, &l.level, withoutHeader)
	return h
}

// newOutputHandler is for lines about syslogs, which would make more of them there.
func newOutputHandler(l *errorLog) *lineHandler {
	h := newLineHandler(l)
	h.messages = nil
	return h
}

// Enabled implements slog.Handler.
func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.log.level.Level() }

// Handle implements slog.Handler.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	json := h.log.json.Load()
	err := h.toOutput.of(json).Handle(ctx, r)
	if h.messages != nil && h.log.out.Load().syslog != nil {
		h.messages.write(ctx, h.toSyslog.of(json), r)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.derive(func(f slog.Handler) slog.Handler { return f.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	return h.derive(func(f slog.Handler) slog.Handler { return f.WithGroup(name) })
}

func (h *lineHandler) derive(by func(slog.Handler) slog.Handler) slog.Handler {
	return &lineHandler{log: h.log, toOutput: h.toOutput.with(by), toSyslog: h.toSyslog.with(by), messages: h.messages}
}

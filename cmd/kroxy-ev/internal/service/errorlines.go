package service

import (
	"context"
	"io"
	"log/slog"
)

// lineHandler formats the lines of an error log, in the log's current format, and those for a syslog, if there is one.
type lineHandler struct {
	log      *errorLog
	toOutput logHandlers
	toSyslog logHandlers
	messages *syslogLines // where toSyslog writes to; nil if nothing may go to a syslog
}

// logHandlers are handlers for the two formats of a log.
type logHandlers struct{ text, json slog.Handler }

// newLogHandlers makes handlers that write lines to w; keep may drop attributes of records.
func newLogHandlers(w io.Writer, level slog.Leveler, keep func(groups []string, a slog.Attr) slog.Attr) logHandlers {
	return logHandlers{
		text: slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: keep}),
		json: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if keep != nil {
				a = keep(groups, a)
			}
			if a.Value.Kind() == slog.KindDuration { // with its unit, as in text
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}}),
	}
}

func (f logHandlers) with(derive func(slog.Handler) slog.Handler) logHandlers {
	return logHandlers{derive(f.text), derive(f.json)}
}

func (f logHandlers) of(json bool) slog.Handler {
	if json {
		return f.json
	}
	return f.text
}

func newLineHandler(l *errorLog) *lineHandler {
	h := &lineHandler{log: l, messages: &syslogLines{log: l}}
	h.toOutput = newLogHandlers(l, &l.level, nil)
	h.toSyslog = newLogHandlers(h.messages, &l.level, withoutHeader)
	return h
}

// newOutputHandler makes a handler that does not write to the syslog, for lines about syslogs, which would cause more lines there.
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

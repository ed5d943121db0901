package loglimit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// output stores what was written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// take returns what was written and forgets it.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.text.String()
	o.text.Reset()
	return s
}

// counter adds up the lines that records represent.
type counter struct {
	mu    sync.Mutex
	n     int
	alone int // records that represent one line, as it was logged
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *counter) WithGroup(string) slog.Handler            { return c }

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	n, alone := 1, 1
	if _, more, ok := strings.Cut(r.Message, ", and "); ok {
		_, _ = fmt.Sscan(strings.ReplaceAll(more, ",", ""), &n)
		alone = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	c.alone += alone
	return nil
}

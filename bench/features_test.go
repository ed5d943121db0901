package bench

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkFeatures checks that a contestant has exactly those features enabled that it declares.
func checkFeatures(t *testing.T, h *harness, p peer, log bool) {
	r, tg := startRecorded(t, h, p, log)
	batches := h.collector.batches.Load()
	c, err := net.Dial("tcp", tg.addr)
	if err != nil {
		t.Fatal(tg.proc.blame(err))
	}
	defer c.Close()
	// The client requests tracing.
	const request = "GET / HTTP/1.1\r\nHost: bench\r\nTraceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(tg.proc.blame(err))
	}
	b := make([]byte, 15)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 200 OK" {
		t.Errorf("the answer begins with %q: %v", b, err)
	}
	err = scraping(filepath.Join(filepath.Dir(tg.proc.output), adminSocket), func() error { return nil })
	if p.Watched && err != nil || !p.Watched && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("scraping: %v", err)
	}
	checked := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.ContainsFunc(r.agents, func(agent string) bool { return strings.Contains(agent, "health check") })
	}
	traced := func() bool { return h.collector.batches.Load() > batches }
	for end := time.Now().Add(20 * time.Second); p.Heals && !checked() || p.Traced && !traced(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("checked: %v, traced: %v", checked(), traced())
		}
	}
	if checked() != p.Heals || traced() != p.Traced {
		t.Errorf("checked: %v, traced: %v", checked(), traced())
	}
}

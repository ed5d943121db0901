package bench

import (
	"fmt"
	"io"
	"time"
)

// tool is an external load generator that reports when it is done.
type tool struct {
	name  string
	start func(h *harness, j job, secs int) (*proc, error) // the caller must call stop
	parse func(report string) (result, error)
}

// run does j for its duration, rounded to whole seconds, which such programs require.
func (t tool) run(h *harness, j job) (result, error) {
	secs := max(1, int(j.Duration.Round(time.Second)/time.Second))
	p, err := t.start(h, j, secs)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	late := time.AfterFunc(time.Duration(secs)*time.Second+time.Minute, func() { _ = p.out.Close() })
	defer late.Stop()
	b, err := io.ReadAll(p.out)
	if err != nil {
		return result{}, fmt.Errorf("bench: waiting for %s: %w", t.name, err)
	}
	r, err := t.parse(string(b))
	if err != nil {
		return r, fmt.Errorf("bench: %w%s", err, p.said())
	}
	return r, nil
}

package proxy

import (
	"log/slog"
	"testing"

	"kroxy-ev/engine"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// A reactor without listeners has finished as soon as it is told to leave: no later event would tell it that there is nobody to wait for.
func TestLeaveWithoutListeners(t *testing.T) {
	t.Parallel()
	loop, err := engine.NewLoop(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	log := slog.New(slog.DiscardHandler)
	r := &reactor{loop: loop, connector: upstream.NewConnector(loop, 0, nil, nil, log)}
	r.http = httpcodec.NewServer(loop, httpcodec.Options{Connector: r.connector, Log: log})
	r.stream = streamcodec.NewServer(loop, streamcodec.Options{Connector: r.connector, Log: log})
	left := 0
	r.leave(nil, func() { left++ })
	if left != 1 {
		t.Errorf("it has left %d times", left)
	}
}

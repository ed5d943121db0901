package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"
)

// features is what a kroxy-ev of the row HTTPFeatures has turned on. The subject has none of them.
type features struct {
	Heals   bool   // checks of hosts, passive and active, and retries
	Watched bool   // an admin endpoint, whose metrics are scraped each second
	Traced  bool   // a hundredth of the requests makes spans, which are sent to a collector
	Spans   string // the collector's address, if Traced
}

// featured returns the contestants of the row: the same program, with more and more turned on.
func featured(program string) (list []peer) {
	for _, f := range []struct {
		name string
		features
	}{
		{subject, features{}},
		{"heals", features{Heals: true}},
		{"watched", features{Watched: true}},
		{"traced", features{Traced: true}},
		{"everything", features{Heals: true, Watched: true, Traced: true}},
	} {
		list = append(list, peer{name: f.name, mode: modeFeatures, file: "kroxy-ev-http.json", argv: kroxyArgv(program), ours: true, features: f.features})
	}
	return list
}

// httpFeatures is HTTPSmall for kroxy-ev alone, with one thing after the other turned on.
var httpFeatures = func() *workload {
	w := requestRow(workload{name: "HTTPFeatures", mode: modeFeatures, hosts: hostsSmall}, getSmall, smallConns)
	measure := w.measure
	w.measure = func(h *harness, t *target) (m metrics, err error) {
		if !t.watched {
			return measure(h, t)
		}
		err = scraping(filepath.Join(filepath.Dir(t.proc.output), adminSocket), func() (err error) {
			m, err = measure(h, t)
			return err
		})
		return m, err
	}
	return w
}()

// adminSocket is where a contestant that is watched has its admin endpoint, in its directory.
const adminSocket = "admin.sock"

// scraping fetches the metrics from the unix socket: before f runs, and each second while it does.
func scraping(socket string, f func() error) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	if err := scrape(&client); err != nil {
		return err
	}
	over, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case <-second.C:
			case <-over:
				failed <- nil
				return
			}
			if err := scrape(&client); err != nil {
				failed <- err
				return
			}
		}
	}()
	err := f()
	close(over)
	return errors.Join(err, <-failed)
}

// scrape fetches the metrics once.
func scrape(client *http.Client) error {
	res, err := client.Get("http://localhost/metrics")
	if err != nil {
		return fmt.Errorf("bench: scraping: %w", err)
	}
	defer res.Body.Close()
	if _, err = io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("bench: scraping: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("bench: scraping: status %s", res.Status)
	}
	return nil
}

// collector takes spans by OTLP over HTTP and throws them away. Close ends it.
type collector struct {
	listener net.Listener
	server   http.Server
	batches  atomic.Int64 // that have come
}

func startCollector() (*collector, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: starting a collector of spans: %w", err)
	}
	c := &collector{listener: ln}
	c.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c.batches.Add(1)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	go func() { _ = c.server.Serve(ln) }()
	return c, nil
}

func (c *collector) close() { _ = c.server.Close() }

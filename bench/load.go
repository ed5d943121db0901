package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// What a load process does.
const (
	loadPing        = "ping"         // HTTP requests on kept-alive connections, as fast as they are answered or at a fixed rate
	loadConnect     = "connect"      // a connection for each HTTP request
	loadBulk        = "bulk"         // uploads or downloads, one after the other on each of a few connections
	loadIdle        = "idle"         // one exchange on each of many sessions, then silence
	loadDrip        = "drip"         // requests that come a byte a second and never end
	loadSlow        = "slow"         // downloads that are read a little, then not at all, then again
	loadSlowStreams = "slow-streams" // the same over HTTP/2
)

// job is the argument of the load role.
type job struct {
	Kind     string
	Addr     string // the proxy's
	Conns    int
	Duration time.Duration
	Rate     float64    // ping: requests a second over all connections; 0: as many as are answered
	Size     int64      // bulk, slow: bytes a transfer
	Upload   bool       // bulk
	Exchange exchange   // ping, connect: what to do; idle, bulk: likewise, but if it is empty they use the hosts' own protocol
	H2       h2Exchange // idle, bulk, slow streams, h2load: what to do by HTTP/2; not empty: in place of Exchange
	Streams  int        // slow streams, h2load: at a time, on each connection
	Watch    int        // ping at a fixed rate: a proxy's process id; times count only while nobody else wants its CPU, or the load's
	Meter    int        // ping: a proxy's process id, whose CPU time is to be read

	// Warm is for how long requests are sent, as many as are answered, before those that count: ping without a rate. What a proxy
	// does once, such as connecting to its hosts, and to take its clients, is over then.
	Warm  time.Duration
	Trace tracepoints // ping with a Meter: what is to be counted of what that process calls

	Nagle bool // connect: clients leave Nagle's algorithm on, as many do (ab, for one)

	TLS        bool    // to the proxy: see dialer
	Resume     bool    // connect: with resumed sessions; else all handshakes are full
	Handshakes float64 // ping at a fixed rate: new connections a second beside the others: see handshaker
}

// result is what a load process writes to stdout: once, and for idle and slow also once before the silence.
type result struct {
	Ops      int64 // requests answered, or transfers completed in full
	Errors   int64 // those that were not
	Bytes    int64 // moved by bulk and slow; of whole responses by the others
	Elapsed  time.Duration
	P50, P99 time.Duration // ping at a fixed rate
	Counted  float64       // the share of the time that they come from: see sampler
	CPU      time.Duration // ping with a meter: the proxy's
	Counts   counts        // ping with tracepoints

	Handshakes int64         // beside the Ops
	Spent      time.Duration // by the load on them
	Failure    string        // an example of the errors
}

// busy returns the share of the time that the proxy had its CPU.
func (r result) busy() float64 { return float64(r.CPU) / float64(r.Elapsed) }

// playLoad does the job in arg.
func playLoad(arg []byte, in *bufio.Reader, out *json.Encoder) error {
	var j job
	if err := json.Unmarshal(arg, &j); err != nil {
		return err
	}
	var r result
	var err error
	go func() {
		// The end of stdin: the conductor is gone. Jobs that wait for a line on it notice by themselves.
		if j.Kind != loadIdle && j.Kind != loadSlow && j.Kind != loadSlowStreams && j.Kind != loadDrip {
			_, _ = io.Copy(io.Discard, in)
			os.Exit(1)
		}
	}()
	switch j.Kind {
	case loadPing:
		r, err = ping(j)
	case loadConnect:
		r, err = connects(j)
	case loadBulk:
		r, err = bulk(j)
	case loadIdle:
		r, err = idle(j, in, out)
	case loadDrip:
		r, err = drip(j, in, out)
	case loadSlowStreams:
		r, err = slowStreams(j, in, out)
	case loadSlow:
		r, err = slow(j, in, out)
	default:
		err = fmt.Errorf("no load %q", j.Kind)
	}
	if err != nil {
		return err
	}
	return out.Encode(r)
}

// load is a running load process.
type load struct {
	proc *proc
	out  *json.Decoder
}

// startLoad starts a load process. stop must be called.
func startLoad(h *harness, j job) (*load, error) {
	c, err := roleCommand(roleLoad, h.dir, h.cores.rest, j)
	if err != nil {
		return nil, err
	}
	p, err := start(c, h.guard)
	if err != nil {
		return nil, err
	}
	return &load{proc: p, out: json.NewDecoder(p.out)}, nil
}

// next waits for the next result, at most for limit.
func (l *load) next(limit time.Duration) (result, error) {
	late := time.AfterFunc(limit, func() { _ = l.proc.out.Close() })
	defer late.Stop()
	var r result
	if err := l.out.Decode(&r); err != nil {
		return r, fmt.Errorf("bench: no result from load within %v: %w%s", limit, err, l.proc.said())
	}
	return r, nil
}

// goOn ends the silence of idle and slow.
func (l *load) goOn() error {
	if _, err := io.WriteString(l.proc.in, "\n"); err != nil {
		return fmt.Errorf("bench: telling load to go on: %w", err)
	}
	return nil
}

// runLoad does a job from start to end.
func runLoad(h *harness, j job) (result, error) {
	l, err := startLoad(h, j)
	if err != nil {
		return result{}, err
	}
	defer l.proc.stop()
	r, err := l.next(j.Duration + time.Minute)
	if err == nil && r.Ops == 0 {
		err = fmt.Errorf("bench: load got nothing done: %s", r.Failure)
	}
	return r, err
}

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// The kinds of load.
const (
	loadPing        = "ping"         // HTTP requests on kept-alive connections, as fast as they are answered or at a fixed rate
	loadConnect     = "connect"      // one connection per HTTP request
	loadBulk        = "bulk"         // uploads or downloads, one after another on each of a few connections
	loadIdle        = "idle"         // one exchange on each of many sessions, then silence
	loadDrip        = "drip"         // requests that arrive one byte a second and never end
	loadSlow        = "slow"         // downloads that are read a little, then not at all, then again
	loadSlowStreams = "slow-streams" // the same over HTTP/2
)

// job is the argument of the load role.
type job struct {
	Kind     string
	Addr     string // address of the proxy
	Conns    int
	Duration time.Duration
	Rate     float64    // ping: requests a second over all connections; 0: as fast as they are answered
	Size     int64      // bulk, slow: bytes per transfer
	Upload   bool       // bulk
	Exchange exchange   // ping, connect: what to do; idle, bulk: the same, but if it is empty they use the hosts' own protocol
	H2       h2Exchange // idle, bulk, slow streams, h2load: what to do over HTTP/2; if not empty, it replaces Exchange
	Streams  int        // slow streams, h2load: concurrent streams per connection
	Watch    int        // ping at a fixed rate: PID of a proxy; times count only while no other program needs its CPU or the load's
	Meter    int        // ping: PID of a proxy whose CPU time is measured

	// Warm is how long requests are sent as fast as they are answered before the counted ones: for ping without a rate. Things that a proxy does
	// once, such
	// as connecting to its hosts and accepting its clients, are over then.
	Warm  time.Duration
	Trace tracepoints // ping with a Meter: the system calls of that process to count

	Nagle bool // connect: clients leave Nagle's algorithm on, as many do (ab, for one)

	TLS        bool    // with the proxy: see dialer
	Resume     bool    // connect: with resumed sessions; otherwise all handshakes are full
	Handshakes float64 // ping at a fixed rate: new connections a second beside the others: see handshaker
}

// result is what a load process writes to stdout: once, and for kinds with a silence also once before the silence.
type result struct {
	Ops      int64 // requests answered, or transfers completed
	Errors   int64 // requests or transfers that failed
	Bytes    int64 // moved by bulk and slow; for the others, of whole responses
	Elapsed  time.Duration
	P50, P99 time.Duration // ping at a fixed rate
	Counted  float64       // share of the time that they come from: see sampler
	CPU      time.Duration // ping with a meter: of the proxy
	Counts   counts        // ping with tracepoints

	Handshakes int64         // in addition to Ops
	Spent      time.Duration // by the load on handshakes
	Failure    string        // an example of the errors
}

// busy returns the share of the time in which the proxy used its CPU.
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
		// The end of stdin means that the conductor is gone. Jobs that wait for a line on stdin notice that themselves.
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

// startLoad starts a load process. The caller must call stop.
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

// goOn ends the silence of a job.
func (l *load) goOn() error {
	if _, err := io.WriteString(l.proc.in, "\n"); err != nil {
		return fmt.Errorf("bench: telling the load to continue: %w", err)
	}
	return nil
}

// runLoad does a whole job.
func runLoad(h *harness, j job) (result, error) {
	l, err := startLoad(h, j)
	if err != nil {
		return result{}, err
	}
	defer l.proc.stop()
	r, err := l.next(j.Duration + time.Minute)
	if err == nil && r.Ops == 0 {
		err = fmt.Errorf("bench: the load completed no operations: %s", r.Failure)
	}
	return r, err
}

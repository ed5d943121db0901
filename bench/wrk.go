package bench

import (
	_ "embed" // for wrk's script
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

//go:embed wrk/request.lua
var wrkScript []byte

// takesWrk reports whether wrk can do j. It cannot do rows of handshakes, because it does not say whether it resumes TLS sessions.
func (h *harness) takesWrk(j job) bool { return h.wrk != "" && (!j.TLS || !j.Exchange.closes()) }

// requests repeats j, with wrk if it is installed, on kept-alive connections unless the request asks to close the connection.
func requests(h *harness, j job) (result, error) {
	if !h.takesWrk(j) {
		j.Kind = loadPing
		if j.Exchange.closes() {
			j.Kind = loadConnect
		}
		return runLoad(h, j)
	}
	return tool{"wrk", startWrk, parseWrk}.run(h, j)
}

// startWrk starts wrk for secs seconds. The caller must call stop.
func startWrk(h *harness, j job, secs int) (*proc, error) {
	script, request := filepath.Join(h.dir, "request.lua"), filepath.Join(h.dir, "request")
	if err := errors.Join(os.WriteFile(script, wrkScript, 0o644), os.WriteFile(request, j.Exchange.Request, 0o644)); err != nil {
		return nil, fmt.Errorf("bench: writing what wrk reads: %w", err)
	}
	scheme := "http://"
	if j.TLS {
		scheme = "https://"
	}
	argv := []string{
		h.wrk, "-t1", "-c" + strconv.Itoa(j.Conns), "-d" + strconv.Itoa(secs) + "s", "-s", script,
		scheme + j.Addr + "/", "--", request,
	}
	return start(command{name: "wrk", argv: argv, dir: h.dir, cpus: h.cores.rest, pipes: true}, h.guard)
}

var (
	wrkDone   = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h), ([\d.]+)([KMGTP]?)B read`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk parses the report of wrk 4. A response with an error status is an error, not an op.
func parseWrk(s string) (result, error) {
	var r result
	m := wrkDone.FindStringSubmatch(s)
	if m == nil {
		return r, fmt.Errorf("wrk's report has no line of requests: %q", s)
	}
	var err error
	if r.Ops, err = strconv.ParseInt(m[1], 10, 64); err != nil {
		return r, fmt.Errorf("wrk's report: %w", err)
	}
	if r.Elapsed, err = time.ParseDuration(m[2] + m[3]); err != nil {
		return r, fmt.Errorf("wrk's report: %w", err)
	}
	read, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		return r, fmt.Errorf("wrk's report: %w", err)
	}
	for i, unit := range []string{"", "K", "M", "G", "T", "P"} {
		if unit == m[5] {
			r.Bytes = int64(read * float64(int64(1)<<(10*i)))
		}
	}
	if m := wrkErrors.FindStringSubmatch(s); m != nil {
		r.Failure = m[0]
		for _, f := range m[1:] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return r, fmt.Errorf("wrk's report: %w", err)
			}
			r.Errors += n
		}
	}
	if m := wrkStatus.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return r, fmt.Errorf("wrk's report: %w", err)
		}
		r.Failure = m[0]
		r.Errors += n
		r.Ops -= n
	}
	if r.Ops <= 0 || r.Elapsed <= 0 {
		return r, fmt.Errorf("wrk completed no requests: %q", s)
	}
	return r, nil
}

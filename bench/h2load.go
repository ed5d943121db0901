package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// needsH2load returns an error if h2load is not installed.
func needsH2load(h *harness) error {
	if h.h2load == "" {
		return errors.New("h2load is not installed (bench/setup.sh installs it)")
	}
	return nil
}

// calls repeats j.H2 on j.Conns connections, with j.Streams concurrent streams on each.
func calls(h *harness, j job) (result, error) {
	return tool{"h2load", startH2load, parseH2load}.run(h, j)
}

// startH2load starts h2load for secs seconds. The caller must call stop.
func startH2load(h *harness, j job, secs int) (*proc, error) {
	scheme := "http://"
	if j.TLS {
		scheme = "https://"
	}
	argv := []string{
		h.h2load, "-t1", "-c" + strconv.Itoa(j.Conns), "-m" + strconv.Itoa(j.Streams), "-D" + strconv.Itoa(secs),
		"--npn-list=h2", "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519", "-H", ":authority: bench",
	}
	for _, f := range j.H2.Fields {
		argv = append(argv, "-H", f)
	}
	if j.H2.Body != nil {
		body := filepath.Join(h.dir, "body")
		if err := os.WriteFile(body, j.H2.Body, 0o644); err != nil {
			return nil, fmt.Errorf("bench: writing what h2load reads: %w", err)
		}
		argv = append(argv, "-d", body)
	}
	argv = append(argv, scheme+j.Addr+j.H2.Path)
	return start(command{name: "h2load", argv: argv, dir: h.dir, cpus: h.cores.rest, pipes: true}, h.guard)
}

var (
	h2loadDone     = regexp.MustCompile(`(?m)^finished in ([\d.]+(?:us|ms|s|m|h)),`)
	h2loadRequests = regexp.MustCompile(`(?m)^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$`)
	h2loadStatus   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx,`)
	h2loadTraffic  = regexp.MustCompile(`(?m)^traffic: .* \((\d+)\) data$`)
)

// parseH2load parses h2load's report. A response with a status other than 2xx is an error, not an op. Bytes are those of bodies.
func parseH2load(s string) (result, error) {
	var r result
	done, requests, status, traffic := h2loadDone.FindStringSubmatch(s), h2loadRequests.FindStringSubmatch(s), h2loadStatus.FindStringSubmatch(s), h2loadTraffic.FindStringSubmatch(s)
	if done == nil || requests == nil || status == nil || traffic == nil {
		return r, fmt.Errorf("h2load's report lacks a line: %q", s)
	}
	var err error
	if r.Elapsed, err = time.ParseDuration(done[1]); err != nil {
		return r, fmt.Errorf("h2load's report: %w", err)
	}
	var n [7]int64 // total, succeeded, failed, errored, timeout; 2xx; bytes
	for i, text := range append(requests[1:], status[1], traffic[1]) {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return r, fmt.Errorf("h2load's report: %w", err)
		}
	}
	// Requests that failed, errored or timed out are all failures.
	r.Ops, r.Bytes = min(n[1], n[5]), n[6]
	if r.Errors = n[2] + n[1] - r.Ops; r.Errors > 0 {
		r.Failure = requests[0] + "; " + status[0]
	}
	if r.Ops <= 0 || r.Elapsed <= 0 {
		return r, fmt.Errorf("h2load completed no requests: %q", s)
	}
	return r, nil
}

package main_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// stream is a pseudo-random body of a given size and seed, which computes a checksum of what was read.
type stream struct {
	left int64
	at   int
	sum  hash.Hash32
}

func newStream(seed, size int64) *stream {
	return &stream{size, int(seed*7919) % (len(noise) / 2), crc32.New(castagnoli)}
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.at == len(noise) {
		s.at = 0
	}
	n := copy(p[:min(int64(len(p)), s.left, 256<<10)], noise[s.at:])
	s.at += n
	s.left -= int64(n)
	_, _ = s.sum.Write(p[:n])
	return n, nil
}

// streamSum returns the checksum of a whole stream.
func streamSum(seed, size int64) uint32 {
	s := newStream(seed, size)
	_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{s}, make([]byte, 256<<10))
	return s.sum.Sum32()
}

// bulkHost is a handler for streams: POST answers with the checksum of the body, GET /?seed=&size= sends a stream, with a Content-Length if there is &length.
func bulkHost(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodPost {
		sum := crc32.New(castagnoli)
		n, err := io.CopyBuffer(sum, struct{ io.Reader }{req.Body}, make([]byte, 256<<10))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %08x", n, sum.Sum32())
		return
	}
	q := req.URL.Query()
	seed, _ := strconv.ParseInt(q.Get("seed"), 10, 64)
	size, _ := strconv.ParseInt(q.Get("size"), 10, 64)
	if q.Has("length") {
		w.Header().Set("Content-Length", q.Get("size"))
	}
	_, _ = io.CopyBuffer(struct{ io.Writer }{w}, newStream(seed, size), make([]byte, 256<<10))
}

// upload uploads a stream.
func (p *proxy) upload(c *http.Client, seed, size int64, chunked bool) error {
	body := newStream(seed, size)
	req, err := http.NewRequest(http.MethodPost, p.url("/"), body)
	if err != nil {
		return err
	}
	if !chunked {
		req.ContentLength = size
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %08x", size, body.sum.Sum32()); err != nil || string(got) != want {
		return fmt.Errorf("upload, chunked %v: the host got %q, want %q; error %w", chunked, got, want, err)
	}
	return nil
}

// download downloads a stream.
func (p *proxy) download(c *http.Client, seed, size int64, chunked bool) error {
	url := p.url(fmt.Sprintf("/?seed=%d&size=%d", seed, size))
	if !chunked {
		url += "&length"
	}
	res, err := c.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if (res.ContentLength < 0) != chunked {
		return fmt.Errorf("download: length %d, chunked %v", res.ContentLength, chunked)
	}
	sum := crc32.New(castagnoli)
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{res.Body}, make([]byte, 256<<10))
	if want := streamSum(seed, size); err != nil || n != size || sum.Sum32() != want {
		return fmt.Errorf("download, chunked %v: %d of %d bytes, checksum %08x, want %08x; error %w", chunked, n, size, sum.Sum32(), want, err)
	}
	return nil
}

const memoryLimit = 64 << 20

// withMemory returns a prepare function that sets a hard limit on the program's memory, if this machine lets the test set one (a memory cgroup, version 1 or
// 2), and a function that returns how often the limit was hit, or nil.
func withMemory(t *testing.T, limit int) (func(*exec.Cmd), func() int) {
	t.Helper()
	soft := func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", limit)) }
	for _, version := range []struct{ parent, limit, events, prefix string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control", "oom_kill "},
		{"/sys/fs/cgroup", "memory.max", "memory.events", "oom_kill "},
	} {
		dir, err := os.MkdirTemp(version.parent, "kroxy-ev-test")
		if err != nil {
			continue
		}
		if os.WriteFile(filepath.Join(dir, version.limit), []byte(strconv.Itoa(limit)), 0o644) != nil {
			_ = os.Remove(dir)
			continue
		}
		cleanup(t, func() { // the program, which has ended by then, is the only process in it
			eventually(t, "the control group is removed", func() bool { return os.Remove(dir) == nil })
		})
		hard := func(cmd *exec.Cmd) {
			soft(cmd)
			cmd.Args = append([]string{"sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, dir, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
		}
		return hard, func() int {
			text, _ := os.ReadFile(filepath.Join(dir, version.events))
			_, after, _ := strings.Cut(string(text), version.prefix)
			n, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
			return n
		}
	}
	t.Log("no control group can be made here: the limit is only looked at afterwards")
	return soft, nil
}

// A proxy that has 64 MiB passes a gigabyte up and one down, with known and unknown length.
func TestHTTPGigabytes(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	const flows = 4
	size := int64(256 << 20)
	s := setup{hosts: endpoints(serve(t, "127.0.0.1", bulkHost))}
	if testing.Short() {
		t.Log("8 MiB a body")
		size = 8 << 20
	}
	var killed func() int
	s.prepare, killed = withMemory(t, memoryLimit)
	p := startHTTP(t, s)
	for name, pass := range map[string]func(*http.Client, int64, int64, bool) error{"up": p.upload, "down": p.download} {
		c := p.client()
		c.Timeout = 0
		var running sync.WaitGroup
		begin := time.Now()
		for i := range flows {
			running.Go(func() {
				if err := pass(c, int64(i), size, i%2 == 0); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		t.Logf("%s: %d x %d MiB in %v, at most %d KiB of memory so far", name, flows, size>>20, time.Since(begin), p.status("VmHWM"))
	}
	if peak := p.status("VmHWM"); peak > memoryLimit>>10 {
		t.Errorf("the proxy had %d KiB of memory, want at most %d", peak, memoryLimit>>10)
	}
	if killed != nil && killed() > 0 {
		t.Error("the memory limit was hit")
	}
}

// Clients and hosts that read nothing cost no memory either, and get everything when they read on.
func TestHTTPBackpressure(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	const flows, size = 40, 24 << 20 // more than the kernel's buffers hold
	proceed := make(chan struct{})
	var stopped sync.WaitGroup
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			var head [8]byte
			_, _ = io.ReadFull(req.Body, head[:])
			stopped.Done()
			<-proceed
			n, err := io.Copy(io.Discard, req.Body)
			if err == nil {
				fmt.Fprint(w, n+8, " ", binary.BigEndian.Uint64(head[:]))
			}
			return
		}
		bulkHost(w, req)
	})
	p := startHTTP(t, setup{hosts: endpoints(h)})
	c := p.client()
	c.Timeout = 0
	if err := errors.Join(p.download(c, 1, 100_000, true), p.download(c, 1, 100_000, false)); err != nil {
		t.Fatal(err)
	}
	before := p.status("VmRSS")
	var running sync.WaitGroup
	stopped.Add(flows)
	for i := range flows {
		chunked := i%4 < 2
		if i%2 == 0 {
			running.Go(func() {
				body := io.MultiReader(strings.NewReader("\x00\x00\x00\x00\x00\x00\x00\x07"), newStream(int64(i), size-8))
				req, err := http.NewRequest(http.MethodPost, p.url("/"), body)
				if err != nil {
					t.Error(err)
					return
				}
				if !chunked {
					req.ContentLength = size
				}
				res, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != fmt.Sprint(size, " ", 7) {
					t.Errorf("upload %d, chunked %v: %q, error %v", i, chunked, got, err)
				}
			})
			continue
		}
		url := p.url(fmt.Sprintf("/?seed=%d&size=%d", i, size))
		if !chunked {
			url += "&length"
		}
		running.Go(func() {
			res, err := c.Get(url)
			if err != nil {
				t.Error(err)
				stopped.Done()
				return
			}
			defer res.Body.Close()
			stopped.Done()
			<-proceed
			sum := crc32.New(castagnoli)
			if n, err := io.Copy(sum, res.Body); err != nil || n != size || sum.Sum32() != streamSum(int64(i), size) {
				t.Errorf("download %d, chunked %v: %d bytes, error %v", i, chunked, n, err)
			}
		})
	}
	stopped.Wait()
	last := int64(-1)
	eventually(t, "nothing moves", func() bool {
		now := p.cpu()
		still := int64(now) == last
		last = int64(now)
		time.Sleep(200 * time.Millisecond)
		return still
	})
	const limit = 16 << 10
	if grown := p.status("VmRSS") - before; grown > limit {
		t.Errorf("the proxy grew by %d KiB for %d bodies that nobody reads, want at most %d", grown, flows, limit)
	}
	close(proceed)
	running.Wait()
}

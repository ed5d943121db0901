package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// pingAnswer is the response of a pinger that acts as a host.
const pingAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n" + httpBody

// playPing plays two hosts and the load on one thread. It reads jobs of kind loadPing, and writes a result or a failure for each.
func playPing(_ []byte, in *bufio.Reader, out *json.Encoder) error {
	debug.SetGCPercent(-1) // a job makes little garbage (its times; some for TLS), and a pause would be attributed to the proxy
	p, err := newPinger()
	if err != nil {
		return err
	}
	defer p.close()
	var ports [2]int
	for i := range ports {
		if ports[i], err = p.listen(); err != nil {
			return err
		}
	}
	if err := out.Encode(hostPorts{ports[0], ports[1]}); err != nil {
		return err
	}
	for jobs := json.NewDecoder(in); ; {
		var j job
		if err := jobs.Decode(&j); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		runtime.GC()
		r, err := p.do(j)
		if err != nil {
			r = result{Failure: err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// listen makes the pinger a host on a port that the kernel chooses.
func (p *pinger) listen() (port int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("making a socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	var sa unix.Sockaddr
	if err == nil {
		sa, err = unix.Getsockname(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("listening: %w", err)
	}
	_, err = p.watch(fd, p.accept)
	return sa.(*unix.SockaddrInet4).Port, err
}

// accept accepts the pending connections of l.
func (p *pinger) accept(l *pingSocket) error {
	for {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return fmt.Errorf("accepting a connection: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			_ = unix.Close(fd)
			continue // the connection has been reset
		}
		if _, err := p.watch(fd, p.answer); err != nil {
			return err
		}
	}
}

// answer reads part of a request, and answers when the request is complete: proxies send one at a time.
func (p *pinger) answer(s *pingSocket) error {
	b, err := p.read(s)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil || len(b) == 0 {
		p.drop(s)
		return nil
	}
	if string(s.tail[1:]) == "\r\n\r\n" {
		if n, err := unix.Write(s.fd, []byte(pingAnswer)); n != len(pingAnswer) {
			return fmt.Errorf("answering as a host: %d bytes, %w", n, err)
		}
	}
	return nil
}

// startPingHosts starts hosts that are also the load: see hosts.ping.
func startPingHosts(h *harness) (*hosts, error) { return startHostRole(h, rolePing, nil) }

// ping makes hosts from startPingHosts do a job of kind loadPing.
func (hs *hosts) ping(j job) (result, error) {
	if err := json.NewEncoder(hs.proc.in).Encode(j); err != nil {
		return result{}, fmt.Errorf("bench: telling hosts what to do: %w", err)
	}
	late := time.AfterFunc(j.Duration+time.Minute, func() { _ = hs.proc.out.Close() })
	defer late.Stop()
	var r result
	if err := hs.out.Decode(&r); err != nil {
		return r, fmt.Errorf("bench: no result from load: %w%s", err, hs.proc.said())
	}
	if r.Ops == 0 || r.Errors > 0 {
		return r, fmt.Errorf("bench: %d responses, %d missing: %s", r.Ops, r.Errors, r.Failure)
	}
	return r, nil
}

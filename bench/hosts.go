package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The hosts' protocol. A request is one byte of operation and eight bytes of a big-endian count; a connection carries any number of requests. 'G'
// and
// 'P' are the first bytes of an HTTP GET and POST, so that one port serves HTTP as well: see hosthttp.go.
const (
	opDownload = 'D' // the host sends count bytes
	opUpload   = 'U' // the client sends count bytes, the host answers with the count
	opEcho     = 'E' // the host answers with the request
	opGet      = 'G'
	opPost     = 'P'
)

const (
	requestSize = 9
	chunkSize   = 256 << 10 // size of a host's write, and of a read at either end
)

// hostOptions is the argument of the host role.
type hostOptions struct {
	// Sendfile makes downloads come from a file in memory by sendfile(2), in pages of 4 KiB, instead of by write(2), for which the kernel uses
	// larger
	// pieces. This changes how much one splice in a proxy can carry.
	Sendfile bool
	// GRPC makes them hosts that serve only gRPC: see grpcHost.
	GRPC bool
}

// hostPorts is what a host process writes to stdout when it listens.
type hostPorts struct {
	A, B int // TCP ports; on 127.0.0.1, and for deployment.Hosts on all addresses
}

// playHost serves the protocol on two ports until the end of in.
func playHost(arg []byte, in *bufio.Reader, out *json.Encoder) error {
	var o hostOptions
	if err := json.Unmarshal(arg, &o); err != nil {
		return err
	}
	h := &host{chunk: make([]byte, chunkSize)}
	if o.Sendfile {
		fd, err := unix.MemfdCreate("source", unix.MFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("making a file in memory: %w", err)
		}
		h.file = os.NewFile(uintptr(fd), "source")
		defer h.file.Close()
		if _, err := h.file.Write(h.chunk); err != nil {
			return fmt.Errorf("filling a file in memory: %w", err)
		}
	}
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp4", ":0")
		if err != nil {
			return err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		if o.GRPC {
			go acceptGRPC(l)
		} else {
			go h.accept(l)
		}
	}
	if err := out.Encode(hostPorts{ports[0], ports[1]}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// host answers requests; its fields are read-only once it serves.
type host struct {
	chunk []byte   // zeros to send
	file  *os.File // chunkSize zeros for sendfile, or nil
}

func (h *host) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go func() {
			defer c.Close()
			h.serve(c.(*net.TCPConn)) // the client will notice an error
		}()
	}
}

// serve answers requests on c until its end.
func (h *host) serve(c *net.TCPConn) {
	r := bufio.NewReaderSize(c, 4096)
	var sink []byte
	for {
		op, err := r.Peek(1)
		if err != nil {
			return
		}
		if op[0] == opGet || op[0] == opPost {
			if h.answer(c, r) != nil {
				return
			}
			continue
		}
		var req [requestSize]byte
		if _, err := io.ReadFull(r, req[:]); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint64(req[1:]))
		switch req[0] {
		case opEcho:
			_, err = c.Write(req[:])
		case opDownload:
			err = h.send(c, n)
		case opUpload:
			if sink == nil {
				sink = make([]byte, chunkSize)
			}
			if err = drain(r, sink, n); err == nil {
				_, err = c.Write(req[1:])
			}
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// send sends n zeros.
func (h *host) send(c *net.TCPConn, n int64) error {
	if h.file != nil {
		return h.sendfile(c, n)
	}
	for n > 0 {
		k, err := c.Write(h.chunk[:min(n, chunkSize)])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// sendfile is send from h.file. It passes explicit offsets, because all connections share the file's offset.
func (h *host) sendfile(c *net.TCPConn, n int64) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	at := int64(0)
	err = raw.Write(func(fd uintptr) bool {
		for n > 0 {
			k, err := unix.Sendfile(int(fd), int(h.file.Fd()), &at, int(min(n, chunkSize-at)))
			if err == unix.EAGAIN {
				return false
			}
			if err != nil {
				failed = err
				return true
			}
			n -= int64(k)
			at %= chunkSize
		}
		return true
	})
	return errors.Join(failed, err)
}

// drain reads n bytes from r and discards them; it reuses buf.
func drain(r io.Reader, buf []byte, n int64) error {
	for n > 0 {
		k, err := r.Read(buf[:min(n, int64(len(buf)))])
		n -= int64(k)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// hostKind is the kind of hosts behind the contestants of a workload.
type hostKind string

const (
	hostsAny   hostKind = ""      // the Go host, with the whole protocol
	hostsSmall hostKind = "small" // only GET /: nginx if it is installed, which costs the load's CPUs less
	hostsGRPC  hostKind = "grpc"  // only gRPC
	hostsPing  hostKind = "ping"  // only GET /, answered by the load itself: see pinger
)

// hosts are the processes behind the proxies.
type hosts struct {
	proc  *proc
	ports hostPorts
	out   *json.Decoder // decodes what proc writes; nil for nginx
}

// startGoHosts starts the Go host process.
func startGoHosts(h *harness) (*hosts, error) {
	return startHostRole(h, roleHost, hostOptions{Sendfile: h.sendfile})
}

// startHostRole starts this binary in a role whose first output is hostPorts.
func startHostRole(h *harness, role string, arg any) (*hosts, error) {
	c, err := roleCommand(role, h.dir, h.cores.rest, arg)
	if err != nil {
		return nil, err
	}
	p, err := start(c, h.guard)
	if err != nil {
		return nil, err
	}
	hs := &hosts{proc: p, out: json.NewDecoder(p.out)}
	if err := hs.out.Decode(&hs.ports); err != nil {
		p.stop()
		return nil, fmt.Errorf("bench: hosts did not start: %w%s", err, p.said())
	}
	return hs, nil
}

// startNginxHosts starts nginx with `return 200` on two ports.
func startNginxHosts(h *harness) (*hosts, error) {
	a, err := freePort()
	if err != nil {
		return nil, err
	}
	b, err := freePort()
	if err != nil {
		return nil, err
	}
	hs := &hosts{ports: hostPorts{a, b}}
	peer := peer{name: "nginx-host", file: "nginx-host.conf", argv: nginxArgv(h.nginx)}
	if hs.proc, err = peer.start(h, settings{Port: a, HostA: a, HostB: b}, h.cores.rest, false); err != nil {
		return nil, err
	}
	return hs, nil
}

// freePort returns a TCP port that nobody listens on, below the range of ephemeral ports (32768 and up by default): an outgoing connection could
// take
// an ephemeral port before the proxy binds it.
func freePort() (int, error) {
	for range 100 {
		port := 12000 + rand.IntN(20000)
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("bench: no free port between 12000 and 32000")
}

package h2conn

import (
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// BenchmarkFrames compares the two ways of framing bytes on their way from one socket to another: copying them, and splicing
// them between headers that are written. The figure that matters is cpu-ns/KiB, of the thread that does it.
func BenchmarkFrames(b *testing.B) {
	for name, relay := range map[string]func(*testing.B, int, int){
		"copy/frame=16KiB":    func(b *testing.B, from, to int) { copyFrames(b, from, to) },
		"splice/frame=16KiB":  func(b *testing.B, from, to int) { spliceFrames(b, from, to, http2.MaxFrame) },
		"splice/frame=256KiB": func(b *testing.B, from, to int) { spliceFrames(b, from, to, 256<<10) }, // if the peer accepts such frames
	} {
		b.Run(name, func(b *testing.B) {
			from, source := pair(b)
			to, sink := pair(b)
			go func() {
				p := make([]byte, 256<<10)
				for {
					if _, err := source.Write(p); err != nil {
						return
					}
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{sink}) }()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := threadCPU()
			relay(b, from, to)
			b.ReportMetric(float64(threadCPU()-before)/float64(b.N)/1024, "cpu-ns/KiB")
			b.SetBytes(1 << 20)
		})
	}
}

// pair returns the blocking descriptor of one end of a connection, and the other end.
func pair(b *testing.B) (int, net.Conn) {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	f, err := near.(*net.TCPConn).File()
	if err != nil {
		b.Fatal(err)
	}
	_ = near.Close()
	b.Cleanup(func() { _ = f.Close(); _ = far.Close() })
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		b.Fatal(err)
	}
	return fd, far
}

// copyFrames relays b.N MiB as Stream does.
func copyFrames(b *testing.B, from, to int) {
	in, out := make([]byte, engine.ScratchSize), make([]byte, 0, outLimit)
	for left := b.N << 20; left > 0; {
		n, err := unix.Read(from, in)
		if err != nil || n == 0 {
			b.Fatal(err)
		}
		left -= n
		for p := in[:n]; len(p) > 0; {
			k := min(len(p), framePayload)
			out = http2.Header{Length: k, Type: http2.Data, Stream: 1}.Append(out)
			out = append(out, p[:k]...)
			if p = p[k:]; len(p) == 0 || len(out) == outLimit {
				write(b, to, out, 0)
				out = out[:0]
			}
		}
	}
}

// spliceFrames relays b.N MiB by splice(2).
func spliceFrames(b *testing.B, from, to, frame int) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], 0); err != nil {
		b.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	if _, err := unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, 256<<10); err != nil {
		b.Fatal(err)
	}
	var header [http2.HeaderLen]byte
	for left := b.N << 20; left > 0; {
		n, err := unix.Splice(from, nil, pipe[1], nil, frame, unix.SPLICE_F_MOVE)
		if err != nil || n == 0 {
			b.Fatal(err)
		}
		left -= int(n)
		write(b, to, http2.Header{Length: int(n), Type: http2.Data, Stream: 1}.Append(header[:0]), unix.MSG_MORE)
		for n > 0 {
			k, err := unix.Splice(pipe[0], nil, to, nil, int(n), unix.SPLICE_F_MOVE)
			if err != nil {
				b.Fatal(err)
			}
			n -= k
		}
	}
}

// write writes all of p.
func write(b *testing.B, to int, p []byte, flags int) {
	for len(p) > 0 {
		n, err := unix.SendmsgN(to, p, nil, nil, flags)
		if err != nil {
			b.Fatal(err)
		}
		p = p[n:]
	}
}

// threadCPU returns the CPU time used by this thread, in ns.
func threadCPU() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

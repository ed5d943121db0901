package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// h2Bulk is bulk for HTTP/2: each of j's clients has a connection with one stream at a time. The clients are those of net/http, with stream windows
// of
// 4 MiB.
func h2Bulk(j job) (result, error) {
	d, err := j.dialer()
	if err != nil {
		return result{}, err
	}
	clients := make(chan *http.Client, j.Conns)
	for range j.Conns {
		t := &http.Transport{TLSClientConfig: d.config.Clone(), DisableCompression: true, Protocols: new(http.Protocols)}
		t.Protocols.SetHTTP2(d.config != nil)
		t.Protocols.SetUnencryptedHTTP2(d.config == nil)
		defer t.CloseIdleConnections()
		clients <- &http.Client{Transport: t, Timeout: exchangeTimeout}
	}
	bufs := sync.Pool{New: func() any { return make([]byte, chunkSize) }}
	return repeat(j.Conns, j.Duration, func() (int64, error) {
		buf := bufs.Get().([]byte)
		defer bufs.Put(buf) //nolint:staticcheck // one allocation per transfer of megabytes
		c := <-clients
		defer func() { clients <- c }()
		return j.Size, j.transfer(c, buf)
	}), nil
}

// transfer does a download or an upload of j by c.
func (j job) transfer(c *http.Client, buf []byte) error {
	method, scheme, want := http.MethodGet, "http", j.Size
	var body io.Reader
	if j.Upload {
		method, want = http.MethodPost, int64(len(httpBody))
		body = io.LimitReader(zeros{}, j.Size)
	}
	if j.TLS {
		scheme = "https"
	}
	q, err := http.NewRequest(method, scheme+"://"+j.Addr+j.H2.Path, body)
	if err != nil {
		return err
	}
	q.Host = "bench"
	if j.Upload {
		q.ContentLength = j.Size
	}
	resp, err := c.Do(q)
	if err != nil {
		return fmt.Errorf("a transfer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		return fmt.Errorf("the response has status %s and %s", resp.Status, resp.Proto)
	}
	if s := resp.TLS; s != nil {
		if err := agreed(s.Version, s.CipherSuite, s.CurveID); err != nil {
			return err
		}
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
	if err != nil || n != want {
		return fmt.Errorf("reading a response of %d bytes after %d: %w", want, n, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return nil
}

// zeros is an endless reader of zeros.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// slowStreams does a job of kind loadSlowStreams: each stream receives what its window allows; then comes the silence; then the stream takes 8 MiB
// more, which exceeds all buffers between host and client, so the flow must restart. Ops of the second result are the streams that got them.
func slowStreams(j job, in *bufio.Reader, out *json.Encoder) (result, error) {
	const more = 8 << 20
	all := int64(j.Conns * j.Streams)
	conns, err := dialAll(j, func(n net.Conn) error {
		c := n.(*h2Conn)
		for range j.Streams {
			if _, err := c.open(j.H2); err != nil {
				return err
			}
		}
		return c.take(h2Window, j.Streams)
	})
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	if err := silence(result{Ops: all}, in, out); err != nil {
		return result{}, err
	}
	var t tally
	var wg sync.WaitGroup
	begin := time.Now()
	for _, n := range conns {
		wg.Go(func() {
			c := n.(*h2Conn)
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			err := c.grant(more, j.Streams)
			if err == nil {
				err = c.take(more, j.Streams)
			}
			for range j.Streams {
				t.add(more, err)
			}
		})
	}
	wg.Wait()
	t.Elapsed = time.Since(begin)
	return t.result, nil
}

package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Peers that use the gRPC library. Messages are plain bytes, so that no code has to be generated.

// maxCallMessage is the largest message of a peer.
const maxCallMessage = 32 << 20

// rawCodec sends a *[]byte unchanged.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(p []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(p)
	return nil
}
func (rawCodec) Name() string { return "raw" }

// mixedCodec is rawCodec for the peers' messages, and marshals those of the health service.
type mixedCodec struct{ rawCodec }

func (c mixedCodec) Marshal(v any) ([]byte, error) {
	if m, ok := v.(*grpc_health_v1.HealthCheckResponse); ok {
		return []byte{8, byte(m.GetStatus())}, nil
	}
	return c.rawCodec.Marshal(v)
}

func (c mixedCodec) Unmarshal(p []byte, v any) error {
	if _, ok := v.(*grpc_health_v1.HealthCheckRequest); ok {
		return nil // it is about the whole server
	}
	return c.rawCodec.Unmarshal(p, v)
}

// rpcHost is a gRPC host with a method of each kind. The metadata of a call may ask for more:
//
//	blob-bin  is sent back, in the head and in the trailers
//	wait      the call is not answered until it is cancelled; the error of its context goes to left
//	code      the call fails with that code at the end, and a message
type rpcHost struct {
	endpoint
	server *grpc.Server
	health *grpchealth.Server
	left   chan error // errors of the contexts of waiting calls
	limits chan time.Duration

	mu    sync.Mutex
	conns int // accepted connections
}

// peerMethods are the methods of an rpcHost.
var peerMethods = grpc.ServiceDesc{
	ServiceName: "kroxy.test.Peer",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var m []byte
		if err := decode(&m); err != nil {
			return nil, err
		}
		return &m, srv.(*rpcHost).followMetadata(ctx)
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Collect", ClientStreams: true, Handler: collectMessages},
		{StreamName: "Spread", ServerStreams: true, Handler: spreadMessages},
		{StreamName: "Chat", ClientStreams: true, ServerStreams: true, Handler: sendBack},
	},
}

// collectMessages answers with the number of messages and bytes that it received.
func collectMessages(srv any, s grpc.ServerStream) error {
	var n, size int
	for {
		var m []byte
		switch err := s.RecvMsg(&m); {
		case errors.Is(err, io.EOF):
			answer := fmt.Appendf(nil, "%d %d", n, size)
			return errors.Join(s.SendMsg(&answer), srv.(*rpcHost).followMetadata(s.Context()))
		case err != nil:
			return err
		}
		n, size = n+1, size+len(m)
	}
}

// spreadMessages answers the message "COUNT SIZE" with COUNT messages, each of which begins with its number.
func spreadMessages(srv any, s grpc.ServerStream) error {
	var m []byte
	if err := s.RecvMsg(&m); err != nil {
		return err
	}
	var n, size int
	if _, err := fmt.Sscan(string(m), &n, &size); err != nil {
		return err
	}
	for i := range n {
		m := make([]byte, size)
		binary.BigEndian.PutUint32(m, uint32(i))
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
	return srv.(*rpcHost).followMetadata(s.Context())
}

// sendBack sends each message back.
func sendBack(srv any, s grpc.ServerStream) error {
	for {
		var m []byte
		switch err := s.RecvMsg(&m); {
		case errors.Is(err, io.EOF):
			return srv.(*rpcHost).followMetadata(s.Context())
		case err != nil:
			srv.(*rpcHost).note(s.Context())
			return err
		}
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
}

// followMetadata does what the metadata of a call asks for.
func (p *rpcHost) followMetadata(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if blob := md.Get("blob-bin"); blob != nil {
		back := metadata.MD{"blob-bin": blob, "plain": md.Get("plain")}
		_ = grpc.SetHeader(ctx, back) // fails if the stream has sent messages: then the head is sent already
		if err := grpc.SetTrailer(ctx, back); err != nil {
			return err
		}
	}
	if md.Get("wait") != nil {
		deadline, ok := ctx.Deadline()
		if ok {
			select {
			case p.limits <- time.Until(deadline):
			default:
			}
		}
		<-ctx.Done()
		p.note(ctx)
		return status.FromContextError(ctx.Err()).Err()
	}
	if list := md.Get("code"); list != nil {
		code, err := strconv.Atoi(list[0])
		if err != nil {
			return err
		}
		return status.Error(codes.Code(code), oddMessage)
	}
	return nil
}

// oddMessage has characters that must be percent-encoded.
const oddMessage = "because of 100 % ünlucky\r\ncircumstances"

// note records how a waiting call was cancelled.
func (p *rpcHost) note(ctx context.Context) {
	select {
	case p.left <- ctx.Err():
	default:
	}
}

// serveGRPC starts a gRPC host, by TLS if id is not nil.
func serveGRPC(t *testing.T, id *identity) *rpcHost {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := []grpc.ServerOption{grpc.ForceServerCodec(mixedCodec{}), grpc.MaxRecvMsgSize(maxCallMessage)}
	if id != nil {
		o = append(o, grpc.Creds(credentials.NewServerTLSFromCert(&id.Certificate)))
	}
	p := &rpcHost{
		endpoint: endpoint{"127.0.0.1", l.Addr().(*net.TCPAddr).Port}, server: grpc.NewServer(o...), health: grpchealth.NewServer(),
		left: make(chan error, 64), limits: make(chan time.Duration, 64),
	}
	p.server.RegisterService(&peerMethods, p)
	grpc_health_v1.RegisterHealthServer(p.server, p.health)
	t.Cleanup(p.server.Stop)
	go func() { _ = p.server.Serve(counting{l, p}) }()
	return p
}

// counting counts accepted connections.
type counting struct {
	net.Listener
	p *rpcHost
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.p.mu.Lock()
		l.p.conns++
		l.p.mu.Unlock()
	}
	return c, err
}

// connections returns how many connections the host has accepted.
func (p *rpcHost) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

// rpcClient is a gRPC client with a connection of its own, which it replaces after a GOAWAY.
type rpcClient struct{ *grpc.ClientConn }

// newRPCClient returns a client of a port of this machine, by TLS if config is not nil.
func newRPCClient(port int, config *tls.Config) (*rpcClient, error) {
	credential := insecure.NewCredentials()
	if config != nil {
		credential = credentials.NewTLS(config)
	}
	c, err := grpc.NewClient(fmt.Sprintf("passthrough:///127.0.0.1:%d", port), grpc.WithTransportCredentials(credential), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(maxCallMessage)))
	return &rpcClient{c}, err
}

// dialGRPC is callerOf; the connection is closed when the test ends.
func dialGRPC(t *testing.T, port int, config *tls.Config) *rpcClient {
	t.Helper()
	c, err := newRPCClient(port, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo makes a unary call.
func (c *rpcClient) echo(ctx context.Context, m []byte, o ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := c.Invoke(ctx, "/kroxy.test.Peer/Echo", &m, &answer, o...)
	return answer, err
}

// stream begins a call of any other kind.
func (c *rpcClient) stream(ctx context.Context, method string) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/kroxy.test.Peer/"+method)
}

// once makes a unary call and demands an answer.
func (c *rpcClient) once() error {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	m := []byte("are you there?")
	switch answer, err := c.echo(ctx, m); {
	case err != nil:
		return err
	case !bytes.Equal(answer, m):
		return fmt.Errorf("the answer is %.100q", answer)
	}
	return nil
}

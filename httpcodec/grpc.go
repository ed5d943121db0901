package httpcodec

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"kroxy-ev/httpcodec/http2"
	"kroxy-ev/logformat"
)

// This file has what an exchange needs to know about gRPC over HTTP/2. The outcome of a call is not the HTTP status but
// grpc-status, which is a trailer, or a header field if there is no content.

// grpcStatusField is the name of the field that has the outcome of a call.
const grpcStatusField = "grpc-status"

// The gRPC status codes that this proxy uses.
const (
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcStatus maps an HTTP status to a gRPC status, as clients do with a response that is not gRPC. The exception is a body that
// is too large: gRPC servers report an oversized message as an exhausted resource.
func grpcStatus(status int) int {
	switch status {
	case 400:
		return grpcInternal
	case 401:
		return grpcUnauthenticated
	case 403:
		return grpcPermissionDenied
	case 404:
		return grpcUnimplemented
	case 413:
		return grpcResourceExhausted
	case 429, 502, 503, 504:
		return grpcUnavailable
	}
	return grpcUnknown
}

// callsGRPC reports whether the request is a gRPC call, whose client quickAcks errors in grpc-status.
func (x *exchange) callsGRPC() bool {
	return x.downstream.protocol(x.req.Minor) == protocolHTTP2 && http2.IsGRPC(x.req.Field("content-type"))
}

// causeDeadline is the cause if the host itself gave up a call. Only the client set the deadline, so nobody else is to blame. The
// client is about to give the call up, too, and the log says the same in both cases.
var causeDeadline = cause{504, "the call's deadline has passed (grpc-timeout)", logformat.ClientAbort}

// pastDeadline reports whether err says that the host has reset the stream of a call whose deadline has passed.
func (x *exchange) pastDeadline(err error) bool {
	var reset *http2.Error
	if !errors.As(err, &reset) || reset.Code != http2.Cancel || !x.callsGRPC() {
		return false
	}
	timeout, ok := parseGRPCTimeout(x.req.Field("grpc-timeout"))
	return ok && time.Duration(x.server.loop.Clock()-x.began)+time.Millisecond >= timeout // the clocks' granularity differs
}

// parseGRPCTimeout parses a grpc-timeout: at most 8 digits and a unit.
func parseGRPCTimeout(b []byte) (d time.Duration, ok bool) {
	n := len(b) - 1
	if n < 1 || n > 8 {
		return 0, false
	}
	value := int64(0)
	for _, c := range b[:n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		value = 10*value + int64(c-'0')
	}
	unit := time.Nanosecond
	switch b[n] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
	default:
		return 0, false
	}
	return time.Duration(min(value, int64(math.MaxInt64/unit))) * unit, true
}

// grpcError returns the grpc-status with which the client is told an error of the given HTTP status; 0 if the HTTP status is sent.
func (x *exchange) grpcError(status int) int {
	switch {
	case status < 400 || !x.callsGRPC():
		return 0
	case x.end == causeDeadline.end: // no other cause with that end gets a reply
		return grpcDeadlineExceeded
	}
	return grpcStatus(status)
}

// appendGRPCError appends an error as a gRPC response without content (trailers-only).
func appendGRPCError(dst []byte, status int, p *Reply) []byte {
	dst = p.appendType(p.appendHead(dst, 200), "application/grpc")
	dst = append(append(dst, grpcStatusField...), ": "...)
	dst = strconv.AppendInt(dst, int64(p.GRPC), 10)
	// Nothing in grpc-message needs percent-encoding.
	dst = appendStatus(append(dst, "\r\ngrpc-message: "...), status, fasthttp.StatusMessage(status))
	return p.appendEnd(append(dst, "\r\n"...), 0)
}

// grpcStatus returns the grpc-status that was sent to the client, if the access log's format needs it; otherwise nil. It is valid
// until the exchange goes on.
func (x *exchange) grpcStatus() []byte {
	if x.replied && x.phase == relaying {
		if status := x.response.Trailer(grpcStatusField); status != nil {
			return status
		}
	}
	return x.logged.get(grpcStatusField)
}

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

// What an exchange has to know of gRPC (its protocol over HTTP/2): the outcome of a call is not the HTTP status but grpc-status, a trailer, or a field of the
// head where there is no content.

// grpcStatusField is the name of the field that has the outcome of a call.
const grpcStatusField = "grpc-status"

// The outcomes that this proxy knows, by their names in gRPC.
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

// grpcStatus is what a status of HTTP is in gRPC. It is what clients themselves make of a response that is not gRPC's, but for a body that is too
// large: servers say of a message that is that it exhausts what there is of a resource.
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

// callsGRPC reports whether the request is a call, whose client wants to be told of errors by grpc-status.
func (x *exchange) callsGRPC() bool {
	return x.ends.protocol(x.req.Minor) == protocolHTTP2 && http2.IsGRPC(x.req.Field("content-type"))
}

// causeDeadline is that of a call that the host has given up by itself. Nobody is to blame for it but the client, who wanted to wait no longer; it is about to
// give the call up, too, which comes to the same in logs.
var causeDeadline = cause{504, "the deadline of the call is over (grpc-timeout)", logformat.ClientAbort}

// outlived reports whether a host has reset the stream of a call, as err says, because its deadline is over.
func (x *exchange) outlived(err error) bool {
	var reset *http2.Error
	if !errors.As(err, &reset) || reset.Code != http2.Cancel || !x.callsGRPC() {
		return false
	}
	timeout, ok := parseGRPCTimeout(x.req.Field("grpc-timeout"))
	return ok && time.Duration(x.server.loop.Clock()-x.began)+time.Millisecond >= timeout // clocks differ by their grain
}

// parseGRPCTimeout is the time that a call may take: at most 8 digits and a unit.
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

// grpcError is the grpc-status by which the client is told an error of that status; 0 if it is told it by HTTP.
func (x *exchange) grpcError(status int) int {
	switch {
	case status < 400 || !x.callsGRPC():
		return 0
	case x.end == causeDeadline.end: // the only cause of that end which is answered
		return grpcDeadlineExceeded
	}
	return grpcStatus(status)
}

// appendGRPCError writes an error as a response of gRPC without content (trailers-only).
func appendGRPCError(dst []byte, status int, p *Reply) []byte {
	dst = p.appendType(p.appendHead(dst, 200), "application/grpc")
	dst = append(append(dst, grpcStatusField...), ": "...)
	dst = strconv.AppendInt(dst, int64(p.GRPC), 10)
	// Nothing in it needs to be percent-encoded.
	dst = appendStatus(append(dst, "\r\ngrpc-message: "...), status, fasthttp.StatusMessage(status))
	return p.appendEnd(append(dst, "\r\n"...), 0)
}

// grpcStatus is the grpc-status that the client was sent, if the access log tells it; else nil. It is valid until the exchange goes on.
func (x *exchange) grpcStatus() []byte {
	if x.replied && x.phase == relaying {
		if status := x.response.Trailer(grpcStatusField); status != nil {
			return status
		}
	}
	return x.logged.get(grpcStatusField)
}

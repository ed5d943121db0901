package check

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

// The gRPC health checking protocol: grpc.health.v1.Health.Check, with one message each way. The messages have one field each, so they are
// encoded and decoded by hand.

const (
	healthMethod = "/grpc.health.v1.Health/Check"
	// maxMessage bounds the response message, which has a few bytes.
	maxMessage = 1 << 10
	// prefixLen is the length of the prefix of each message: a compression flag and the length.
	prefixLen = 5
)

// serving is the status of a healthy host (HealthCheckResponse.ServingStatus).
const serving = 1

var servingStatuses = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// Call statuses with messages of their own, because the user can do something about them.
const (
	statusNotFound      = 5
	statusUnimplemented = 12
)

// statuses holds the names of the values of grpc-status.
var statuses = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// checkGRPC asks the host at the other end of conn whether it serves t's service.
func checkGRPC(ctx context.Context, conn net.Conn, t *Target) error {
	s, err := openStream(ctx, conn, callFields(ctx, t), appendRequest(nil, t.Check.Service))
	if err != nil {
		return err
	}
	defer s.close()
	message, err := s.answer()
	if err != nil {
		return err
	}
	end := s.trailer
	if end == nil { // trailers-only: the trailer is in the head
		end = s.head
	}
	switch code, ok := parseStatus(field(end, "grpc-status")); {
	case !ok:
		return failed("the host's response has no grpc-status")
	case code == statusUnimplemented:
		return failed(`the host does not have grpc.health.v1.Health (grpc-status %s): make the host serve it, or write "type": "tcp"`, name(code))
	case code == statusNotFound && t.Check.Service != "":
		return failed("the host does not know the service %.100q (grpc-status %s)", t.Check.Service, name(code))
	case code != 0:
		return failed("grpc-status %s", name(code))
	}
	status, ok := parseResponse(message)
	switch {
	case !ok:
		return failed("the host's response is not a HealthCheckResponse")
	case status != serving:
		return failed("the host says %s", cmp.Or(nameIn(servingStatuses[:], status), strconv.FormatUint(status, 10)))
	}
	return nil
}

// callFields returns the header fields of the call.
func callFields(ctx context.Context, t *Target) []hpack.HeaderField {
	deadline, _ := ctx.Deadline()
	return []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: t.scheme()}, {Name: ":path", Value: healthMethod},
		{Name: ":authority", Value: cmp.Or(t.Check.Host, t.Authority)},
		{Name: "te", Value: "trailers"}, {Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: agent},
		{Name: "grpc-timeout", Value: callTimeout(time.Until(deadline))},
	}
}

// callTimeout formats d for grpc-timeout: at most 8 digits and a unit.
func callTimeout(d time.Duration) string {
	if ms := max(d.Milliseconds(), 1); ms < 1e8 {
		return strconv.FormatInt(ms, 10) + "m"
	}
	return strconv.FormatInt(min(int64(d/time.Second), 1e8-1), 10) + "S"
}

// answer reads the response to a call to its end, and returns its message; nil if there is none.
func (s *stream) answer() ([]byte, error) {
	switch status, err := s.begin(); {
	case err != nil:
		return nil, err
	case status != 200:
		return nil, &failure{fmt.Sprintf("status %d instead of the 200 of gRPC: the host may not serve gRPC on this port", status), status}
	}
	if kind := field(s.head, "content-type"); kind != "application/grpc" && !strings.HasPrefix(kind, "application/grpc+") && !strings.HasPrefix(kind, "application/grpc;") {
		return nil, failed("the response is not gRPC: its content-type is not application/grpc")
	}
	body, err := io.ReadAll(io.LimitReader(s, prefixLen+maxMessage+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > prefixLen+maxMessage:
		return nil, failed("the host's message is longer than %d bytes", maxMessage)
	case len(body) == 0:
		return nil, nil
	case len(body) < prefixLen || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-prefixLen):
		return nil, failed("the host's response is not a single uncompressed message")
	}
	return body[prefixLen:], nil
}

// appendRequest appends a HealthCheckRequest with its prefix.
func appendRequest(dst []byte, service string) []byte {
	var m []byte
	if service != "" {
		m = protowire.AppendString(protowire.AppendTag(m, 1, protowire.BytesType), service)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, 0), uint32(len(m)))
	return append(dst, m...)
}

// parseResponse returns the status of a HealthCheckResponse; a message without the field means 0.
func parseResponse(m []byte) (status uint64, ok bool) {
	if m == nil {
		return 0, false
	}
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return 0, false
		}
		m = m[n:]
		if number == 1 && kind == protowire.VarintType {
			if status, n = protowire.ConsumeVarint(m); n < 0 {
				return 0, false
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, m); n < 0 {
			return 0, false
		}
		m = m[n:]
	}
	return status, true
}

// parseStatus parses a grpc-status.
func parseStatus(s string) (code uint64, ok bool) {
	code, err := strconv.ParseUint(s, 10, 16)
	return code, err == nil
}

// name formats a call status for messages.
func name(code uint64) string {
	text := strconv.FormatUint(code, 10)
	if word := nameIn(statuses[:], code); word != "" {
		text += ", " + word
	}
	return text
}

func nameIn(names []string, n uint64) string {
	if n < uint64(len(names)) {
		return names[n]
	}
	return ""
}

package trace

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// encode encodes requests as the body of an OTLP request. TracesData has the same encoding as ExportTraceServiceRequest,
// whose package would pull in gRPC.
func encode(service string, list []*Request) ([]byte, error) {
	spans := make([]*otlp.Span, 0, 2*len(list))
	for _, q := range list {
		spans = q.appendSpans(spans)
	}
	host, _ := os.Hostname()
	return proto.Marshal(&otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{
			word("service.name", service), word("host.name", host), number("process.pid", int64(os.Getpid())),
		}},
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "kroxy-ev"}, Spans: spans}},
	}}})
}

// Attributes have OpenTelemetry's names; those that are specific to a proxy have our own.

// appendSpans appends the server span of q and the client spans of its tries.
func (q *Request) appendSpans(spans []*otlp.Span) []*otlp.Span {
	method := q.of(q.method)
	scheme := "http"
	if q.Secure {
		scheme = "https"
	}
	var a attributes
	a.text("http.request.method", method)
	a.text("url.scheme", scheme)
	a.text("url.path", q.of(q.path))
	a.text("server.address", q.of(q.host))
	a.text("user_agent.original", q.of(q.agent))
	a.text("network.protocol.version", strings.TrimPrefix(q.Protocol, "HTTP/"))
	a.address("client", q.Client)
	a.number("http.response.status_code", int64(q.Status))
	a.text("http.route", q.Route)
	a.text("kroxy.server", q.Server)
	a.text("kroxy.route", q.Route)
	a.text("kroxy.group", q.Group)
	if n := len(q.tries); n > 0 {
		a.text("kroxy.host", q.tries[n-1].Host)
	}
	a = append(a, number("kroxy.tries", int64(q.Attempts)), number("kroxy.bytes_sent_upstream", q.SentUp), number("kroxy.bytes_sent_downstream", q.SentDown))
	a.text("kroxy.end_reason", q.Reason)
	s := &otlp.Span{
		TraceId: q.Trace[:], SpanId: q.Span[:], Name: strings.TrimSpace(method + " " + q.Route), Kind: otlp.Span_SPAN_KIND_SERVER, Flags: flagSampled,
		StartTimeUnixNano: uint64(q.Began), EndTimeUnixNano: uint64(q.Ended),
	}
	if (q.Parent != SpanID{}) {
		s.ParentSpanId = q.Parent[:]
	}
	if q.Status >= 500 || q.Status == 0 || q.Cut {
		s.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: q.Reason}
		a.text("error.type", q.errorType())
	}
	s.Attributes = a
	spans = append(spans, s)
	for i := range q.tries {
		spans = append(spans, q.span(&q.tries[i], i, method))
	}
	return spans
}

// errorType returns the status of a failed request, or the reason if it has no status or its response was cut short.
func (q *Request) errorType() string {
	if q.Status == 0 || q.Cut {
		return q.Reason
	}
	return strconv.Itoa(q.Status)
}

// span returns the client span of the ith try.
func (q *Request) span(t *Try, i int, method string) *otlp.Span {
	var a attributes
	a.text("http.request.method", method)
	name, port := cutPort(t.Host)
	a.text("server.address", name)
	a.number("server.port", port)
	a.address("network.peer", t.Addr)
	a.number("http.response.status_code", int64(t.Status))
	a.number("http.request.resend_count", int64(i))
	a.text("kroxy.group", q.Group)
	a.text("kroxy.host", t.Host)
	a = append(a, number("kroxy.connect_time_us", t.Connected/1000))
	if t.Answered > t.Began {
		a = append(a, number("kroxy.header_time_us", (t.Answered-t.Began)/1000))
	}
	s := &otlp.Span{
		TraceId: q.Trace[:], SpanId: t.ID[:], ParentSpanId: q.Span[:], Name: strings.TrimSpace(method + " " + q.Group), Kind: otlp.Span_SPAN_KIND_CLIENT, Flags: flagSampled,
		StartTimeUnixNano: uint64(t.Began), EndTimeUnixNano: uint64(t.Ended),
	}
	if t.Status >= 400 || t.Failure != "" {
		s.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: t.Why}
		if t.Failure != "" {
			a.text("error.type", t.Failure)
		} else {
			a.text("error.type", strconv.Itoa(t.Status))
		}
	}
	s.Attributes = a
	return s
}

// cutPort splits the label of a host.
func cutPort(label string) (name string, port int64) {
	i := strings.LastIndexByte(label, ':')
	if i < 0 {
		return label, 0
	}
	port, err := strconv.ParseInt(label[i+1:], 10, 32)
	if err != nil {
		return label, 0
	}
	return strings.Trim(label[:i], "[]"), port
}

// of returns a text as valid UTF-8.
func (q *Request) of(t text) string {
	return strings.ToValidUTF8(string(q.texts[t.from:t.to]), "\ufffd")
}

// attributes omits unknown values.
type attributes []*common.KeyValue

func (a *attributes) text(key, value string) {
	if value != "" {
		*a = append(*a, word(key, strings.ToValidUTF8(value, "\ufffd")))
	}
}

func (a *attributes) number(key string, value int64) {
	if value != 0 {
		*a = append(*a, number(key, value))
	}
}

func (a *attributes) address(prefix string, at netip.AddrPort) {
	if at.IsValid() {
		*a = append(*a, word(prefix+".address", at.Addr().Unmap().String()), number(prefix+".port", int64(at.Port())))
	}
}

func word(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

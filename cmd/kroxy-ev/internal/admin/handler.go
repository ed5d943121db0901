package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"kroxy-ev/cmd/kroxy-ev/internal/admin/dashboard"
)

// reloadTimeout is how long a client waits for a reload, which continues after that.
const reloadTimeout = time.Minute

// endpoint is what is served at a path.
type endpoint struct {
	method  string // GET includes HEAD
	always  bool   // also served if only metrics are allowed
	open    bool   // needs no token, because it reveals nothing of the configuration
	respond func(l *Listener, ctx *fasthttp.RequestCtx, arguments []string)

	// For the OpenAPI document.
	summary   string
	arguments []string // names of what "*" stands for
	takes     any      // a value of the type of the request body; nil if there is none
	gives     any      // a value of the type of the JSON answer; nil if kinds are set
	kinds     []string // media types of the answer
	failures  []int    // statuses in addition to those that every endpoint with this method has
}

// endpoints are the endpoints by path; "*" stands for an argument.
var endpoints map[string]endpoint

func init() {
	text := []string{"text/plain"}
	endpoints = map[string]endpoint{
		"/metrics": {method: fasthttp.MethodGet, always: true, respond: (*Listener).metrics, summary: "all metrics, for Prometheus",
			kinds: []string{"text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"}},
		"/healthz": {method: fasthttp.MethodGet, always: true, open: true, respond: (*Listener).healthy, summary: "answers 200 while the program runs", kinds: text},
		"/ready": {method: fasthttp.MethodGet, always: true, open: true, respond: (*Listener).ready,
			summary: "whether the program should get new clients: not while it starts or stops, nor when no group has a usable host", kinds: text, failures: []int{fasthttp.StatusServiceUnavailable}},
		"/api/v1/status":       {method: fasthttp.MethodGet, respond: (*Listener).status, summary: "the current state: workers, servers, routes, groups, hosts, certificates, reloads", gives: Status{}},
		"/api/v1/config":       {method: fasthttp.MethodGet, respond: (*Listener).config, summary: "the configuration in force, with all defaults and without secrets", gives: map[string]any{}},
		"/api/v1/openapi.json": {method: fasthttp.MethodGet, open: true, respond: (*Listener).openAPI, summary: "this document", gives: map[string]any{}},
		"/api/v1/reload": {method: fasthttp.MethodPost, respond: (*Listener).reload, summary: "read the configuration again, and wait until it is in force", gives: Outcome{},
			failures: []int{fasthttp.StatusConflict, fasthttp.StatusServiceUnavailable, fasthttp.StatusGatewayTimeout}},
		"/api/v1/hosts/*/*": {method: fasthttp.MethodPost, respond: (*Listener).setHost, summary: "drain or undrain a host, or change its weight, until the next reload; the response is the host's new state",
			arguments: []string{"group", "host"}, takes: HostOrder{}, gives: Host{}, failures: []int{fasthttp.StatusNotFound}},
		"/":         {method: fasthttp.MethodGet, open: true, respond: (*Listener).page, summary: "the dashboard", kinds: []string{"text/html"}},
		"/assets/*": {method: fasthttp.MethodGet, open: true, respond: (*Listener).asset, summary: "files of the dashboard", arguments: []string{"name"}, kinds: []string{"text/css", "text/javascript"}, failures: []int{fasthttp.StatusNotFound}},
	}
}

// find returns the endpoint at a path, which is not decoded yet, and the decoded arguments in the path.
func find(target string) (e endpoint, arguments []string, ok bool) {
	raw, _, _ := strings.Cut(target, "?")
	if e, ok = endpoints[raw]; ok {
		return e, nil, true
	}
	for pattern, e := range endpoints {
		if arguments, ok = match(pattern, raw); ok {
			return e, arguments, true
		}
	}
	return endpoint{}, nil, false
}

// match returns the decoded arguments of a path that matches a pattern. Each is one segment of the undecoded path: a slash in it is "%2F".
func match(pattern, raw string) (arguments []string, ok bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(raw, "/")
	if len(want) != len(have) {
		return nil, false
	}
	for i, w := range want {
		if w != "*" {
			if w != have[i] {
				return nil, false
			}
			continue
		}
		argument, err := url.PathUnescape(have[i])
		if err != nil || argument == "" {
			return nil, false
		}
		arguments = append(arguments, argument)
	}
	return arguments, true
}

// handle answers a request.
func (l *Listener) handle(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*clientConn); ok && !c.beginRequest() {
		ctx.SetConnectionClose()
		return
	}
	secure(&ctx.Response.Header)
	defer func() {
		if r := recover(); r != nil { // a bug here must end one request, not the program that all clients depend on
			l.send(ctx, answer{err: fmt.Errorf("panic: %v", r)})
		}
	}()
	if l.socket.crowded() {
		ctx.SetConnectionClose()
	}
	rules := l.rules.Load()
	if e := l.foreign(ctx); e != nil {
		e.write(ctx)
		return
	}
	at, arguments, ok := find(string(ctx.Request.Header.RequestURI()))
	if !ok || rules.MetricsOnly && !at.always {
		notFound(ctx, "there is nothing at this path", "see /api/v1/openapi.json for all paths")
		return
	}
	if method := string(ctx.Method()); method != at.method && (method != fasthttp.MethodHead || at.method != fasthttp.MethodGet) {
		allow := at.method
		if allow == fasthttp.MethodGet {
			allow = "GET, HEAD"
		}
		ctx.Response.Header.Set(fasthttp.HeaderAllow, allow)
		fail(fasthttp.StatusMethodNotAllowed, "method_not_allowed", "this path does not allow the method "+printable(method), "use "+allow).write(ctx)
		return
	}
	if rules.Token != nil && !at.open && !rules.admits(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)) {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="kroxy-ev"`)
		fail(fasthttp.StatusUnauthorized, "unauthorized", "the request has no token, or a wrong one", "send \"Authorization: Bearer TOKEN\" with the token in token_file").write(ctx)
		return
	}
	if at.method == fasthttp.MethodPost {
		if kind, _, err := mime.ParseMediaType(string(ctx.Request.Header.ContentType())); err != nil || kind != "application/json" {
			fail(fasthttp.StatusUnsupportedMediaType, "unsupported_media_type", "the request does not say that its content is JSON", "send \"Content-Type: application/json\"").write(ctx)
			return
		}
	}
	at.respond(l, ctx, arguments)
}

// secure sets the header fields that every response has.
func secure(h *fasthttp.ResponseHeader) {
	h.Set("Content-Security-Policy", dashboard.Policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// foreign returns why a request is refused because a foreign page may have made a browser send it; nil if there is no such reason.
func (l *Listener) foreign(ctx *fasthttp.RequestCtx) *failure {
	h := &ctx.Request.Header
	host := string(h.Host())
	if !bytes.HasPrefix(h.RequestURI(), []byte("/")) {
		return fail(fasthttp.StatusBadRequest, "bad_request", "the request's target is not a path", "ask for a path, such as /api/v1/status")
	}
	if l.address.IsValid() && !l.known(host, h.IsHTTP11()) {
		return fail(fasthttp.StatusMisdirectedRequest, "unknown_host", "the request is for "+printable(host)+", which is not a name of this machine", "ask for an address that the program listens on, localhost, or the machine's name")
	}
	site := string(h.Peek("Sec-Fetch-Site"))
	reads := ctx.IsGet() || ctx.IsHead()
	if site == "cross-site" || !reads && site != "" && site != "same-origin" && site != "none" {
		return fail(fasthttp.StatusForbidden, "cross_site", "the request comes from a page of another site", "open the program's own page")
	}
	if origin := h.Peek(fasthttp.HeaderOrigin); origin != nil && !sameOrigin(string(origin), host) {
		return fail(fasthttp.StatusForbidden, "foreign_origin", "the request comes from a page of another origin", "open the program's own page")
	}
	return nil
}

// known reports whether Host names this machine. A page that uses DNS rebinding has its own name in Host.
func (l *Listener) known(host string, must bool) bool {
	if host == "" {
		return !must
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		return l.address.IsUnspecified() || addr == l.address || addr.IsLoopback() && l.address.IsLoopback()
	}
	if name == "localhost" {
		return true
	}
	own, err := os.Hostname()
	own = strings.ToLower(strings.TrimSuffix(own, "."))
	short, _, _ := strings.Cut(own, ".")
	return err == nil && name != "" && (name == own || name == short)
}

// sameOrigin reports whether an origin is that of pages served by host.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.EqualFold(u.Host, host)
}

// malformed answers a request that cannot be read.
func (l *Listener) malformed(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*clientConn); ok {
		c.unread.Store(true)
	}
	secure(&ctx.Response.Header)
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		fail(fasthttp.StatusRequestHeaderFieldsTooLarge, "head_too_large", fmt.Sprintf("the request's head is longer than %d bytes", maxHead), "send less").write(ctx)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		fail(fasthttp.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("the request's content is longer than %d bytes", maxBody), "send less").write(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		fail(fasthttp.StatusRequestTimeout, "timeout", fmt.Sprintf("the request was not complete after %v", readTimeout), "send it at once").write(ctx)
	default:
		fail(fasthttp.StatusBadRequest, "bad_request", "the request cannot be read", "send HTTP/1.1").write(ctx)
	}
}

// metrics answers with all metrics.
func (l *Listener) metrics(ctx *fasthttp.RequestCtx, _ []string) {
	accept := string(ctx.Request.Header.Peek(fasthttp.HeaderAccept))
	a := l.flights.get("metrics "+accept, func() answer {
		var b bytes.Buffer
		kind, err := l.backend.Gather(&b, accept)
		return answer{b.Bytes(), kind, err}
	})
	l.send(ctx, a)
}

// send writes an answer, or its error.
func (l *Listener) send(ctx *fasthttp.RequestCtx, a answer) {
	if a.err != nil {
		l.log.Error("admin: a request cannot be answered", "path", printable(string(ctx.Path())), "error", a.err)
		fail(fasthttp.StatusInternalServerError, "internal", a.err.Error(), "see the error log").write(ctx)
		return
	}
	ctx.SetContentType(a.mediaType)
	ctx.Response.SetBodyRaw(a.body)
}

func (l *Listener) healthy(ctx *fasthttp.RequestCtx, _ []string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("ok\n")
}

func (l *Listener) ready(ctx *fasthttp.RequestCtx, _ []string) {
	if err := l.backend.Ready(); err != nil {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		fail(fasthttp.StatusServiceUnavailable, "not_ready", err.Error(), "send new clients elsewhere, and ask again").write(ctx)
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("ready\n")
}

const jsonType = "application/json"

func (l *Listener) status(ctx *fasthttp.RequestCtx, _ []string) {
	l.send(ctx, l.flights.get("status", func() answer {
		s, err := l.backend.Status()
		if err != nil {
			return answer{err: err}
		}
		text, err := json.Marshal(s)
		return answer{text, jsonType, err}
	}))
}

func (l *Listener) config(ctx *fasthttp.RequestCtx, _ []string) {
	l.send(ctx, l.flights.get("config", func() answer {
		text, err := l.backend.Config()
		return answer{text, jsonType, err}
	}))
}

func (l *Listener) openAPI(ctx *fasthttp.RequestCtx, _ []string) {
	l.send(ctx, answer{openAPIDocument(), jsonType, nil})
}

func (l *Listener) reload(ctx *fasthttp.RequestCtx, _ []string) {
	if body := bytes.TrimSpace(ctx.Request.Body()); len(body) > 0 && string(body) != "{}" {
		if f := decode(body, &struct{}{}); f != nil {
			f.write(ctx)
			return
		}
	}
	within, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	out, err := l.backend.Reload(within)
	switch {
	case errors.Is(err, ErrBusy):
		fail(fasthttp.StatusConflict, "busy", err.Error(), "try again when it is over").write(ctx)
	case errors.Is(err, ErrStopping):
		fail(fasthttp.StatusServiceUnavailable, "stopping", err.Error(), "start it again").write(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		fail(fasthttp.StatusGatewayTimeout, "timeout", fmt.Sprintf("the reload has not ended after %v, and continues", reloadTimeout), "see last_reload in /api/v1/status").write(ctx)
	case err != nil:
		l.send(ctx, answer{err: err})
	case len(out.Problems) > 0:
		f := fail(fasthttp.StatusUnprocessableEntity, "reload_failed", "the configuration cannot be used, and nothing has changed", "correct the problems, and reload again")
		f.Problems, f.Warnings = out.Problems, out.Warnings
		f.write(ctx)
	default:
		writeJSON(ctx, fasthttp.StatusOK, out)
	}
}

func (l *Listener) setHost(ctx *fasthttp.RequestCtx, arguments []string) {
	var o HostOrder
	if f := decode(ctx.Request.Body(), &o); f != nil {
		f.write(ctx)
		return
	}
	if o.Drain == nil && o.Weight == nil {
		fail(fasthttp.StatusUnprocessableEntity, "no_order", "the request changes nothing", `send { "drain": true }, { "weight": 5 }, or both`).write(ctx)
		return
	}
	group, host := arguments[0], arguments[1]
	err := l.backend.SetHost(group, host, o, l.who(ctx))
	switch {
	case errors.Is(err, ErrNoGroup):
		notFound(ctx, err.Error(), "see groups in /api/v1/status")
	case errors.Is(err, ErrNoHost):
		notFound(ctx, err.Error(), "see hosts of the group in /api/v1/status; write %2F for a slash")
	case errors.Is(err, ErrWeight):
		fail(fasthttp.StatusUnprocessableEntity, "bad_weight", err.Error(), "send a whole number from 0 to 1000").write(ctx)
	case err != nil:
		l.send(ctx, answer{err: err})
	default:
		l.sendHost(ctx, group, host)
	}
}

// sendHost answers with the status of a host.
func (l *Listener) sendHost(ctx *fasthttp.RequestCtx, group, host string) {
	s, err := l.backend.Status()
	if err != nil {
		l.send(ctx, answer{err: err})
		return
	}
	for i := range s.Groups {
		for j := range s.Groups[i].Hosts {
			if h := &s.Groups[i].Hosts[j]; s.Groups[i].Name == group && (h.Host == host || strings.EqualFold(h.Name, host)) {
				writeJSON(ctx, fasthttp.StatusOK, h)
				return
			}
		}
	}
	notFound(ctx, "the host has just been removed", "see hosts of the group in /api/v1/status")
}

// who describes the client, for the log.
func (l *Listener) who(ctx *fasthttp.RequestCtx) string {
	if !l.address.IsValid() {
		return "admin, a client of the Unix socket"
	}
	return "admin, " + ctx.RemoteAddr().String()
}

func (l *Listener) page(ctx *fasthttp.RequestCtx, _ []string) { l.file(ctx, "index.html") }

func (l *Listener) asset(ctx *fasthttp.RequestCtx, arguments []string) {
	if arguments[0] == "index.html" {
		notFound(ctx, "there is nothing at this path", "the page is at /")
		return
	}
	l.file(ctx, arguments[0])
}

// mediaTypes are the media types of the page's files; files of other types are not served.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// file answers with a file of the page.
func (l *Listener) file(ctx *fasthttp.RequestCtx, name string) {
	text, err := fs.ReadFile(dashboard.Files, name)
	kind := mediaTypes[path.Ext(name)]
	if err != nil || kind == "" {
		notFound(ctx, "there is nothing at this path", "the page is at /")
		return
	}
	l.send(ctx, answer{text, kind, nil})
}

package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"
)

// Error is what clients get when a request is not done.
type Error struct {
	Failure failure `json:"error"`
}

// failure is why a request is not done.
type failure struct {
	status   int
	Code     string    `json:"code"` // a word for programs
	Message  string    `json:"message"`
	Remedy   string    `json:"remedy"`
	Problems []Problem `json:"problems,omitempty"` // of a configuration that cannot be used
	Warnings []string  `json:"warnings,omitempty"`
}

func fail(status int, code, message, remedy string) *failure {
	return &failure{status: status, Code: code, Message: message, Remedy: remedy}
}

func notFound(ctx *fasthttp.RequestCtx, message, remedy string) {
	fail(fasthttp.StatusNotFound, "not_found", message, remedy).write(ctx)
}

func (f *failure) write(ctx *fasthttp.RequestCtx) {
	writeJSON(ctx, f.status, Error{*f})
}

func writeJSON(ctx *fasthttp.RequestCtx, status int, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		panic("admin: an answer is not JSON: " + err.Error()) // it is made of strings, numbers and times
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(jsonType)
	ctx.Response.SetBodyRaw(append(text, '\n'))
}

// decode reads a JSON object into what, all of whose keys are known; otherwise it returns what is wrong.
func decode(body []byte, what any) *failure {
	const remedy = `send an object such as { "drain": true, "weight": 5 }`
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	trimmed := bytes.TrimSpace(body)
	switch err := d.Decode(what); {
	case len(trimmed) == 0:
		return fail(fasthttp.StatusBadRequest, "bad_json", "the request has no content", remedy)
	case !json.Valid(body):
		return fail(fasthttp.StatusBadRequest, "bad_json", "the request's content is not JSON", remedy)
	case trimmed[0] != '{':
		return fail(fasthttp.StatusUnprocessableEntity, "bad_content", "the request's content is not an object", remedy)
	case err != nil:
		return fail(fasthttp.StatusUnprocessableEntity, "bad_content", "the request's content is not what is expected: "+printable(strings.TrimPrefix(err.Error(), "json: ")), remedy)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(fasthttp.StatusBadRequest, "bad_json", "there is more behind the request's content", remedy)
	}
	return nil
}

// maxShown bounds what is shown of what a client has sent.
const maxShown = 100

// printable is text of a client, quoted and not too long.
func printable(text string) string { return fmt.Sprintf("%.*q", maxShown, text) }

// equalFold reports whether a is the same as b, which is in lower case and ASCII, in whatever letter case.
func equalFold(a []byte, b string) bool { return strings.EqualFold(string(a), b) }

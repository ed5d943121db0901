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

// Error is the answer to a request that was not carried out.
type Error struct {
	Failure failure `json:"error"`
}

// failure says why a request was not carried out.
type failure struct {
	status   int
	Code     string    `json:"code"` // for programs
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
		panic("admin: an answer is not JSON: " + err.Error()) // cannot happen: it is made of strings, numbers and times
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(jsonType)
	ctx.Response.SetBodyRaw(append(text, '\n'))
}

// decode parses a JSON object into what. Unknown keys are errors.
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
		return fail(fasthttp.StatusBadRequest, "bad_json", "there is more data after the request's content", remedy)
	}
	return nil
}

// maxShown bounds how much of a client's text is shown.
const maxShown = 100

// printable returns a client's text, quoted and truncated.
func printable(text string) string { return fmt.Sprintf("%.*q", maxShown, text) }

// equalFold reports whether a equals b, ignoring case.
func equalFold(a []byte, b string) bool { return strings.EqualFold(string(a), b) }

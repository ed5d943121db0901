package policy

import (
	"slices"
	"strings"

	"kroxy-ev/config"
)

// requestIDField is the field in which the request's ID is forwarded and returned.
const requestIDField = "X-Request-Id"

// withRequestID returns e, extended by the request's ID if r asks for it and e does not mention that field.
func withRequestID(r *config.Route, e config.HeaderEdits) config.HeaderEdits {
	is := func(name string) bool { return strings.EqualFold(name, requestIDField) }
	named := func(h config.Header) bool { return is(h.Name) }
	if !r.RequestID || slices.ContainsFunc(e.Set, named) || slices.ContainsFunc(e.Add, named) || slices.ContainsFunc(e.Remove, is) {
		return e
	}
	e.Set = append(slices.Clip(e.Set), config.Header{Name: requestIDField, Value: "$request_id"})
	return e
}

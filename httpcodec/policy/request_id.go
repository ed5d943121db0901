package policy

import (
	"slices"
	"strings"

	"kroxy-ev/config"
)

// requestIDField is where an ID is passed on and given back.
const requestIDField = "X-Request-Id"

// withRequestID is e with the ID of the request, if r asks for that and e has nothing to say of that field.
func withRequestID(r *config.Route, e config.HeaderEdits) config.HeaderEdits {
	is := func(name string) bool { return strings.EqualFold(name, requestIDField) }
	named := func(h config.Header) bool { return is(h.Name) }
	if !r.RequestID || slices.ContainsFunc(e.Set, named) || slices.ContainsFunc(e.Add, named) || slices.ContainsFunc(e.Remove, is) {
		return e
	}
	e.Set = append(slices.Clip(e.Set), config.Header{Name: requestIDField, Value: "$request_id"})
	return e
}

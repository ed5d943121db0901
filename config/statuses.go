package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// StatusRange is the response statuses from Low to High.
type StatusRange struct{ Low, High int }

// Statuses is a set of response statuses.
type Statuses []StatusRange

// Has reports whether a status is in s.
func (s Statuses) Has(status int) bool {
	return slices.ContainsFunc(s, func(r StatusRange) bool { return r.Low <= status && status <= r.High })
}

// maxStatus is the highest valid status (RFC 9110 section 15).
const maxStatus = 599

// statuses is one or several statuses, or ranges of them: 200, "200-399", "2xx".
type statuses struct {
	low     int // the lowest allowed status
	usual   Statuses
	example string
}

func (s statuses) fallback() any { return s.usual }

func (s statuses) spell() string {
	if s.usual == nil {
		return "none"
	}
	return "`" + s.example + "`"
}

func (s statuses) schema(m modes) schema {
	return oneOrMore(func(modes) schema {
		return anyOf(schema{"type": "integer", "minimum": s.low, "maximum": maxStatus}, schema{"type": "string", "pattern": s.pattern() + "|" + reference})
	})(m)
}

// pattern returns a regular expression for one status or range in a string.
func (s statuses) pattern() string {
	first := fmt.Sprintf("[%d-5]", s.low/100)
	return "^" + first + "(xx|XX|[0-9][0-9](-" + first + "[0-9][0-9])?)$"
}

func (s statuses) decode(o object, n *node, path string) any {
	list := Statuses{}
	o.each1(n, path, "write "+s.example, func(n *node, path string) {
		if r, what := s.parse(n); what == "" {
			list = append(list, r)
		} else {
			o.fail(n, path, what, s.remedy())
		}
	})
	if len(list) == 0 {
		return s.usual
	}
	return list
}

func (s statuses) remedy() string {
	several := `"200-399" or "2xx"`
	if s.low > 399 {
		several = `"500-599" or "5xx"`
	}
	return fmt.Sprintf("write a status from %d to %d, or several as in %s", s.low, maxStatus, several)
}

// parse parses one status or range, or returns what is wrong with it.
func (s statuses) parse(n *node) (r StatusRange, what string) {
	if n.kind != kindNumber && n.kind != kindString {
		return r, "must be a status, not " + n.describe()
	}
	t := n.literal()
	low, high, ranged := strings.Cut(t, "-")
	if class, is := strings.CutSuffix(strings.ToLower(t), "xx"); is && len(class) == 1 {
		low, high, ranged = class+"00", class+"99", true
	}
	if !ranged {
		high = low
	}
	var err error
	if r.Low, err = status(low); err == nil {
		r.High, err = status(high)
	}
	switch {
	case err != nil:
		return r, quote(t) + " is not a status"
	case r.Low < s.low || r.High > maxStatus:
		return r, fmt.Sprintf("%s is outside %d-%d", t, s.low, maxStatus)
	case r.Low > r.High:
		return r, quote(t) + " ends before it begins"
	}
	return r, ""
}

func status(digits string) (int, error) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(digits) > 9 {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(digits)
}

// each1 calls one for each element of n, or for n itself if it is not an array.
func (o object) each1(n *node, path, remedy string, one func(n *node, path string)) {
	if n.kind != kindArray {
		one(n, path)
		return
	}
	if len(n.elements) == 0 {
		o.fail(n, path, "there is nothing in it", remedy+", or remove it")
	}
	for i := range n.elements {
		one(&n.elements[i], indexPath(path, i))
	}
}

package http1

// PrefersPlain reports whether Accept gives text/plain a higher weight than text/html (RFC 9110 section 12.5.1).
func (r *Request) PrefersPlain() bool {
	var plain, html weight
	for i := range r.scan.fields {
		f := &r.scan.fields[i]
		if f.id != fieldAccept {
			continue
		}
		for rest := f.value.of(r.head); rest != nil; {
			var m []byte
			m, rest = nextMember(rest)
			media, q := splitWeight(m)
			plain.match(media, "text/plain", q)
			html.match(media, "text/html", q)
		}
	}
	return plain.q > html.q
}

// weight is what the most specific media range so far says about a type. Q is in thousandths.
type weight struct{ q, precision int }

func (w *weight) match(media []byte, low string, q int) {
	precision := 0
	switch {
	case equalFold(media, low):
		precision = 3
	case equalFold(media, "text/*"):
		precision = 2
	case string(media) == "*/*":
		precision = 1
	}
	if precision > w.precision {
		*w = weight{q, precision}
	}
}

// splitWeight separates a media range from its parameters, of which only the weight counts; its default is 1.
func splitWeight(m []byte) (media []byte, q int) {
	end, q := len(m), 1000
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != ';' {
			continue
		}
		if p := trimOWS(m[i+1 : end]); hasPrefixFold(p, "q=") {
			q = parseWeight(p[len("q="):])
		}
		end = i
	}
	return trimOWS(m[:end]), q
}

// parseWeight parses 0.000 to 1.000. Malformed weights count as 0.
func parseWeight(b []byte) int {
	if len(b) == 0 || len(b) > len("0.000") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0
	}
	q, unit := int(b[0]-'0')*1000, 100
	for i := 2; i < len(b); i++ {
		if !isDigit(b[i]) {
			return 0
		}
		q += int(b[i]-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return 0
	}
	return q
}

package resolve

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxAliases bounds the chain of aliases from a name to its records.
const maxAliases = 16

// found holds the records of an answer that match the question.
type found struct {
	addrs   []netip.Addr // of A and AAAA
	targets []Target     // of SRV
	ttl     time.Duration
}

// alias is the content of a CNAME record.
type alias struct {
	to  string
	ttl uint32
}

// owned is a record with its owner name.
type owned struct {
	owner string
	ttl   uint32
	body  dnsmessage.ResourceBody
}

// readAnswer returns the records that answer a message's first question: those of the name itself, or of the name that its aliases lead
// to. The TTL is the lowest on the way. A message whose answers cannot be parsed completely is an error.
func readAnswer(message []byte) (found, error) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil {
		return found{}, err
	}
	asked, err := p.Question()
	if err != nil {
		return found{}, err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return found{}, err
	}
	aliases, records := make(map[string]alias), []owned(nil)
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return found{}, err
		}
		if h.Class != asked.Class || h.Type != asked.Type && h.Type != dnsmessage.TypeCNAME {
			if err := p.SkipAnswer(); err != nil {
				return found{}, err
			}
			continue
		}
		body, err := readBody(&p, h.Type)
		if err != nil {
			return found{}, err
		}
		owner := canonical(h.Name)
		if a, ok := body.(*dnsmessage.CNAMEResource); ok {
			if _, ok := aliases[owner]; !ok {
				aliases[owner] = alias{canonical(a.CNAME), seconds(h.TTL)}
			}
			continue
		}
		records = append(records, owned{owner, seconds(h.TTL), body})
	}
	return collect(canonical(asked.Name), aliases, records), nil
}

// canonical returns a name in lower case, as names are compared. Only ASCII letters have case (RFC 4343), and names may contain any bytes.
func canonical(n dnsmessage.Name) string {
	b := n.Data[:n.Length]
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// readBody reads the body of a record if its type is used here; otherwise it skips the record and returns nil.
func readBody(p *dnsmessage.Parser, kind dnsmessage.Type) (dnsmessage.ResourceBody, error) {
	switch kind {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		return &r, err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		return &r, err
	case dnsmessage.TypeSRV:
		r, err := p.SRVResource()
		return &r, err
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		return &r, err
	}
	return nil, p.SkipAnswer()
}

// collect returns the records that belong to a name, following aliases.
func collect(name string, aliases map[string]alias, records []owned) found {
	var f found
	lowest := uint32(math.MaxUint32)
	for range maxAliases {
		a, ok := aliases[name]
		if !ok {
			break
		}
		name, lowest = a.to, min(lowest, a.ttl)
	}
	for _, r := range records {
		if r.owner != name {
			continue
		}
		lowest = min(lowest, r.ttl)
		switch b := r.body.(type) {
		case *dnsmessage.AResource:
			f.addrs = append(f.addrs, netip.AddrFrom4(b.A))
		case *dnsmessage.AAAAResource:
			f.addrs = append(f.addrs, netip.AddrFrom16(b.AAAA))
		case *dnsmessage.SRVResource:
			f.targets = append(f.targets, Target{Name: strings.TrimSuffix(b.Target.String(), "."), Port: b.Port, Priority: b.Priority, Weight: b.Weight})
		}
	}
	f.ttl = time.Duration(lowest) * time.Second
	return f
}

package httpcodec

import (
	"bytes"

	"kroxy-ev/logformat"
)

var causeNoName = cause{400, "the request names no host, which the redirect needs", logformat.Refused}

// answerByPolicy answers a request that goes to no host.
func (x *exchange) answerByPolicy() {
	v, p := x.server, &x.route.Policies
	if p.Redirect != nil && p.Redirect.NeedsHost && len(x.req.Host()) == 0 {
		x.fail(causeNoName, nil)
		return
	}
	if !x.request.Done {
		x.passBody()
	}
	x.closes = x.closes || !x.request.Done // the start of the next request is unknown
	if d := p.Redirect; d != nil {
		seen := &v.routing
		if d.NeedsPath() { // other requests may have used the view since this one's route was found
			if err := seen.SetTarget(&x.req, x.req.PathAndQuery()); err != nil {
				x.fail(causeTarget, err)
				return
			}
		}
		r := x.beginReply(d.Status)
		r.Record = v.values(x, d.Need()|r.Headers.Need())
		v.location = d.AppendLocation(v.location[:0], seen.Path, r.Record)
		r.Location = v.location
		v.out = AppendError(v.out[:0], d.Status, r)
	} else {
		r := x.beginReply(p.Respond.Status)
		r.Record = v.values(x, p.Respond.Need()|r.Headers.Need())
		v.out = AppendRespond(v.out[:0], p.Respond, r)
	}
	x.sendReply()
}

// newTarget returns the rewritten request target, or nil if the client's target stays. It is valid until the next call.
func (x *exchange) newTarget() ([]byte, error) {
	v, w := x.server, x.route.Policies.Rewrite
	if w == nil {
		return nil, nil
	}
	target := x.req.PathAndQuery()
	if len(target) > 0 && target[0] == '*' {
		return nil, nil
	}
	seen := &v.routing // other requests may have used it since this one's route was found
	if err := seen.SetTarget(&x.req, target); err != nil {
		return nil, err
	}
	path, _, _ := bytes.Cut(target, question)
	if len(path) == 0 {
		path = slash
	}
	v.target = w.AppendTarget(v.target[:0], path, seen.Path, seen.Query(), v.values(x, w.Need()))
	return v.target, nil
}

var slash, question = []byte("/"), []byte("?")

package httpcodec

import "kroxy-ev/logformat"

var causeNoName = cause{400, "the request names no host, which the redirect needs", logformat.Refused}

// answerByPolicy answers a request that no host is to get.
func (x *exchange) answerByPolicy() {
	v, p := x.server, &x.route.Policies
	if p.Redirect != nil && p.Redirect.NeedsHost && len(x.req.Host()) == 0 {
		x.fail(causeNoName, nil)
		return
	}
	if !x.request.done {
		x.passBody()
	}
	x.closes = x.closes || !x.request.done // where the next request begins is not known
	if d := p.Redirect; d != nil {
		r := x.beginReply(d.Status)
		r.Record = v.values(x, d.Need()|r.Headers.Need())
		v.location = d.AppendLocation(v.location[:0], r.Record)
		r.Location = v.location
		v.out = AppendError(v.out[:0], d.Status, r)
	} else {
		r := x.beginReply(p.Respond.Status)
		r.Record = v.values(x, p.Respond.Need()|r.Headers.Need())
		v.out = AppendRespond(v.out[:0], p.Respond, r)
	}
	x.sendReply()
}

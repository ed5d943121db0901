package httpcodec

// findRoute finds the request's route. If there is none it leaves the route at Unrouted, and why says how to reply.
func (x *exchange) findRoute() (why *cause, err error) {
	c, set := x.client, x.client.settings
	x.route = &set.Unrouted
	if set.Table == nil || set.Table.TakesAll() {
		x.route = &set.Routes[0]
		return nil, nil
	}
	r := &x.server.routing
	if err := r.SetTarget(&x.req, x.req.PathAndQuery()); err != nil {
		return &causeTarget, err
	}
	r.Host, r.Method = x.req.HostName(), x.req.Method()
	r.TLS, r.SNI, r.Client, r.Port = c.peer.Secure(), c.peer.Name(), c.peer.Client.Addr(), c.entry.Port
	i := set.Table.Find(r)
	if i < 0 {
		return &causeNoRoute, nil
	}
	x.route = &set.Routes[i]
	return nil, nil
}

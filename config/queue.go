package config

import "time"

// Queue is where clients wait while all hosts that may serve them are full.
type Queue struct {
	Size    int           // clients at most, over all workers; 0 is no queue
	Timeout time.Duration // for how long
}

// queue decodes "queue".
func (o object) queue() (q Queue) {
	if in, is := o.section("queue"); is == on {
		in.fill(ofQueue, &target{queue: &q})
	}
	return q
}

// bound is how many connections a host may have; absent is any number.
type bound struct{ integer }

func (b bound) decode(o object, n *node, path string) any {
	if n.kind == kindNumber && string(n.raw) == "0" {
		o.fail(n, path, "a host with 0 connections would serve nobody", `leave the key out for no bound, or write "drain": true for a host that is to get no new clients`)
		return b.usual
	}
	return b.integer.decode(o, n, path)
}

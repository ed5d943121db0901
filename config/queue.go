package config

import "time"

// Queue configures the queue of clients that wait while all hosts that may serve them are full.
type Queue struct {
	Size    int           // greatest number of clients, over all workers; 0 for no queue
	Timeout time.Duration // longest wait
}

// queue decodes "queue".
func (o object) queue() (q Queue) {
	if in, is := o.section("queue"); is == on {
		in.fill(ofQueue, &target{queue: &q})
	}
	return q
}

// bound is the greatest number of connections of a host; without it there is no bound.
type bound struct{ integer }

func (b bound) decode(o object, n *node, path string) any {
	if n.kind == kindNumber && string(n.raw) == "0" {
		o.fail(n, path, "a host with 0 connections would serve nobody", `leave the key out for no bound, or write "drain": true for a host that should get no new clients`)
		return b.usual
	}
	return b.integer.decode(o, n, path)
}

package httpcodec

import "kroxy-ev/logformat"

// phase is how far an exchange has come. The error log prints it.
type phase uint8

const (
	readingHead phase = iota
	routing
	connecting
	relaying
	replying // with a reply of the proxy's own
)

func (p phase) String() string {
	return [...]string{"reading the request head", "finding the route", "connecting to a host", "relaying", "replying"}[p]
}

// cause says why an exchange failed: the text for the error log, the end for the access log, and the status for the client if
// nothing has been sent to it yet. A status of 0 means that no reply is sent.
type cause struct {
	status int
	text   string
	end    logformat.End
}

// retryAfter returns the seconds after which a client may retry when no host could serve its request, or 0 if a retry would not help.
func retryAfter(why logformat.End) int {
	switch why {
	case logformat.NoHost, logformat.Unreachable, logformat.ConnectTimeout, logformat.QueueFull, logformat.QueueTimeout:
		return 1
	}
	return 0
}

var (
	causeHeaderTimeout   = cause{408, "the request head was not received in time (client_header_timeout)", logformat.ClientHeaderTimeout}
	causeBodyTimeout     = cause{408, "the request body was not received in time (client_body_timeout)", logformat.ClientBodyTimeout}
	causeBodySize        = cause{413, "the request body is larger than max_body_size", logformat.Refused}
	causeBody            = cause{400, "the request body is malformed", logformat.Refused}
	causePlain           = cause{400, "a plain HTTP request was sent to a TLS port", logformat.Refused}
	causeTarget          = cause{400, "the request target has no valid path", logformat.Refused}
	causeNoRoute         = cause{404, "no route matches the request", logformat.NoRoute}
	causeMisdirected     = cause{421, "no host of the group has the requested name", logformat.UnknownName}
	causeNoHost          = cause{503, "no host to try", logformat.NoHost}
	causeQueueFull       = cause{503, "every host is at its limit (max_conns), and the queue is full or there is none (queue)", logformat.QueueFull}
	causeQueueTimeout    = cause{503, "no host had room in time (queue.timeout)", logformat.QueueTimeout}
	causeUnreachable     = cause{502, "no host reachable", logformat.Unreachable}
	causeConnectTimeout  = cause{504, "no host reachable in time", logformat.ConnectTimeout}
	causeHostReadTimeout = cause{504, "the host is silent (proxy_read_timeout)", logformat.ProxyReadTimeout}
	causeHeadWait        = cause{504, "the host has not sent a response head within ten times proxy_read_timeout", logformat.ProxyReadTimeout}
	causeTryTimeout      = cause{504, "the host has not sent a response head in time (retry.try_timeout)", logformat.ProxyReadTimeout}
	causeHostSendTimeout = cause{504, "the host takes no bytes (proxy_send_timeout)", logformat.ProxySendTimeout}
	causeHostTakesNoMore = cause{0, "the host has answered and takes no more of the request", logformat.Complete} // not a failure
	causeHostFailed      = cause{502, "the host's connection failed", logformat.HostCut}
	causeHostEnded       = cause{502, "the host ended its connection before its response", logformat.HostCut}
	causeRefused         = cause{502, "the host has refused the request (REFUSED_STREAM, or GOAWAY)", logformat.HostCut}
	causeResponse        = cause{502, "the host's response is malformed", logformat.BadResponse}
	causeUpgrade         = cause{502, "the host switched protocols without taking the whole request", logformat.BadResponse}
	causeInterims        = cause{502, "more than 262144 bytes of interim responses", logformat.BadResponse}
	causeClientFailed    = cause{0, "the client's connection failed", logformat.ClientAbort}
	causeClientEnded     = cause{0, "the client ended its stream before the end of its request", logformat.ClientAbort}
	causeClientTakesNone = cause{0, "the client takes no bytes (send_timeout)", logformat.SendTimeout}
	causeShutdown        = cause{0, "shutdown", logformat.Shutdown}
)

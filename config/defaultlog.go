package config

// The lines of an access log without a format_log: what nginx's combined format has
// of client and request, then the host, the time taken, and how
// the exchange ended.
const (
	DefaultStreamLog = `$client_addr $bytes_sent_upstream $bytes_sent_downstream $upstream_addr $processing_time $end_reason`
	DefaultHTTPLog   = `$client_addr "$request_method $request_uri $protocol" $status $bytes_sent_downstream "$http_user_agent" $upstream_addr $processing_time $end_reason`
)

// defaultLog sets the default lines of an access log. An empty format_log counts as
// none, because its lines would be empty.
func (s *Server) defaultLog() {
	switch {
	case s.FileLog == "" && s.Syslog == nil || s.FormatLog != "" || s.FormatFields != nil:
	case s.Mode == ModeHTTP:
		s.FormatLog = DefaultHTTPLog
	default:
		s.FormatLog = DefaultStreamLog
	}
}

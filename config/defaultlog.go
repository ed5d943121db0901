package config

// The lines of an access log without a format_log: what nginx's combined format
// says of client and request, then which host it was, how long it took, and how
// it ended.
const (
	DefaultStreamLog = `$client_addr $bytes_sent_upstream $bytes_sent_downstream $upstream_addr $processing_time $end_reason`
	DefaultHTTPLog   = `$client_addr "$request_method $request_uri $protocol" $status $bytes_sent_downstream "$http_user_agent" $upstream_addr $processing_time $end_reason`
)

// defaultLog gives an access log its lines where the file does not. A
// format_log that is empty says as little as none: its lines would be empty.
func (s *Server) defaultLog() {
	switch {
	case s.FileLog == "" && s.Syslog == nil || s.FormatLog != "" || s.FormatFields != nil:
	case s.Mode == ModeHTTP:
		s.FormatLog = DefaultHTTPLog
	default:
		s.FormatLog = DefaultStreamLog
	}
}

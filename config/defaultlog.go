package config

// The lines of an access log without a format_log: what nginx's combined format
// says, as far as it is not about the content, and how long it took.
const (
	DefaultStreamLog = `$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time`
	DefaultHTTPLog   = `$client_addr "$request_method $request_uri" $status $bytes_sent_downstream "$http_user_agent" $processing_time`
)

// defaultLog gives an access log its lines where the file does not. A
// format_log that is empty says as little as none: its lines would be empty.
func (c *Config) defaultLog() {
	switch {
	case c.FileLog == "" || c.FormatLog != "" || c.FormatFields != nil:
	case c.Mode == ModeHTTP:
		c.FormatLog = DefaultHTTPLog
	default:
		c.FormatLog = DefaultStreamLog
	}
}

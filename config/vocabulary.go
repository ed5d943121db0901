package config

import (
	"slices"
	"strings"

	"kroxy-ev/balance"
)

// algorithms are the values of balancing_algo, the default first.
var algorithms = balance.Algorithms()

// algorithmNames returns their names.
func algorithmNames() (names []string) {
	for _, a := range algorithms {
		names = append(names, a.Name)
	}
	return names
}

// foreignAlgorithms maps other programs' algorithms to those of this program.
var foreignAlgorithms = map[string]string{
	"random": "random_two", "random_choose": "random_two", "p2c": "random_two", "power_of_two": "random_two", "least_request": "random_two",
	"source": "ip_hash", "client_ip_hash": "ip_hash", "uri": "hash", "uri_hash": "hash", "url_param": "hash", "hdr": "hash", "header": "hash", "query": "hash", "cookie": "hash",
	"maglev": "hash", "ring_hash": "hash", "consistent_hash": "hash", "ewma": "least_time", "peak_ewma": "least_time", "least_latency": "least_time",
	"static-rr": "round_robin", "weighted_round_robin": "round_robin", "wrr": "round_robin", "failover": "first",
}

// counterparts are the keys that the other mode has instead.
var counterparts = map[string][]string{
	"read_timeout":          {"client_header_timeout", "client_body_timeout"},
	"client_header_timeout": {"read_timeout"},
	"client_body_timeout":   {"read_timeout"},
}

// foreign maps keys of other programs (nginx, HAProxy, Caddy) to those of this
// program. If there are several, the first that the object may have is
// suggested.
var foreign = map[string]string{
	"upstream": "servers", "upstreams": "servers", "backend": "servers", "backends": "servers", "pool": "servers", "pools": "servers",
	"server": "servers", "address": "host", "addr": "host address", "dial": "host", "ip": "host address", "targets": "hosts", "nodes": "hosts", "members": "hosts",
	"bind": "listen address", "binds": "listen", "listener": "listen", "listeners": "listen", "listen_addr": "listen", "entrypoints": "listen",
	"reverse_proxy": "proxy_to", "proxy_pass": "proxy_to", "forward_to": "proxy_to", "use_backend": "proxy_to", "default_backend": "proxy_to", "to_group": "proxy_to",
	"location": "routes", "locations": "routes", "route": "routes", "handle": "routes", "rules": "routes", "paths": "path routes", "hosts": "host", "headers": "header",
	"frontend": "http", "frontends": "http", "tcp": "stream", "streams": "stream", "l4": "stream", "sites": "http", "vhosts": "http", "virtual_hosts": "http",
	"server_name": "match", "server_names": "match", "hostname": "match host", "hostnames": "match host", "domains": "match", "matchers": "match",
	"code": "status", "status_code": "status", "location_url": "to", "delete": "remove", "unset": "remove", "hide": "remove", "replace": "set", "append": "add",
	"remote_ip": "client", "remote_addr": "client", "src": "client", "source_ip": "client", "client_ip": "client",
	"return": "redirect", "redir": "redirect", "static_response": "respond",
	"uri": "path rewrite", "url": "path host", "handle_path": "rewrite", "strip_path_prefix": "strip_prefix",
	"proxy_set_header": "request_headers", "header_up": "request_headers", "set_header": "request_headers",
	"add_header": "response_headers", "header_down": "response_headers", "more_set_headers": "response_headers",
	"balance": "balancing_algo", "lb_policy": "balancing_algo", "lb_algorithm": "balancing_algo", "load_balancing": "balancing_algo",
	"access_log": "file_log", "log_file": "file_log", "log_format": "format_log",
	"worker_processes": "workers_num", "nbproc": "workers_num", "workers": "workers_num", "nbthread": "reactors_num", "threads": "reactors_num",
	"worker_connections": "max_connections", "maxconn": "max_connections max_conns",
	"client_max_body_size": "max_body_size", "proxy_connect_timeout": "connect_timeout", "keepalive": "upstream_keepalive",
	"grace_period": "shutdown_timeout", "worker_shutdown_timeout": "shutdown_timeout", "pid": "pid_file",
	"set_real_ip_from": "trusted_proxies", "real_ip_from": "trusted_proxies",
	"ssl": "tls tls_enabled proxy_tls_enabled", "ssl_certificate": "tls_cert_path", "ssl_certificate_key": "tls_key_path", "ssl_protocols": "tls_min_version", "crt": "certificates",
	"ssl_verify_client": "tls_verify_client", "ssl_client_certificate": "tls_client_ca_path", "proxy_ssl_verify": "proxy_tls_verify",
	"proxy_ssl_trusted_certificate": "proxy_tls_ca_path", "proxy_ssl_name": "proxy_tls_server_name", "send_proxy": "proxy_protocol", "accept_proxy": "proxy_protocol",
	"max_fails": "failures passive_check", "fail_timeout": "window passive_check", "fail_duration": "window passive_check", "unhealthy_status": "status passive_check", "unhealthy_latency": "passive_check",
	"outlier_detection": "passive_check", "observe": "passive_check", "error_limit": "failures passive_check",
	"check": "health_check", "checks": "health_check", "option_httpchk": "health_check", "httpchk": "health_check", "health_checks": "health_check",
	"health_uri": "path health_check", "health_path": "path health_check", "health_port": "port health_check", "health_interval": "interval health_check", "health_timeout": "timeout health_check",
	"health_status": "status health_check", "health_body": "body health_check", "health_method": "method health_check", "grpc_service": "service health_check", "grpc_health_check": "health_check", "health_passes": "rise health_check", "health_fails": "fall health_check",
	"inter": "interval health_check", "fastinter": "fast_interval health_check", "downinter": "interval health_check", "healthy_threshold": "rise", "unhealthy_threshold": "fall",
	"passes": "rise", "fails": "fall", "expect": "status", "expected_status": "status", "rstatus": "status", "ejection_time": "eject", "base_ejection_time": "eject",
	"slowstart": "slow_start", "slow_start_config": "slow_start", "maxqueue": "size queue", "max_queue": "size queue", "queue_timeout": "timeout queue",
	"retries": "attempts retry", "lb_retries": "attempts retry", "num_retries": "attempts retry", "max_retries": "attempts retry", "proxy_next_upstream": "on retry", "retry_on": "on retry",
	"retry-on": "on retry", "proxy_next_upstream_tries": "attempts retry", "lb_retry_match": "on retry", "proxy_next_upstream_timeout": "connect_timeout", "lb_try_duration": "connect_timeout",
	"per_try_timeout": "try_timeout", "retry_budget": "budget", "redispatch": "retry", "option_redispatch": "retry",
	"sticky_cookie": "sticky", "session_affinity": "sticky", "sticky_sessions": "sticky", "insert": "sticky", "samesite": "same_site", "expires": "ttl", "max_age": "ttl", "maxlife": "ttl",
	"down": "drain", "disabled": "drain", "draining": "drain", "max_connections_per_host": "max_conns", "unhealthy_request_count": "max_conns", "max_requests": "max_conns",
	"least_conn": "balancing_algo", "ip_hash": "balancing_algo", "random": "balancing_algo", "hash": "hash_key", "hash_on": "hash_key", "hash_policy": "hash_key",
	"resolvers": "resolver", "nameserver": "resolver servers", "nameservers": "resolver servers", "valid": "max_ttl", "hold": "max_ttl", "service": "srv", "dynamic_srv": "srv",
	"opentelemetry": "tracing", "otel": "tracing", "otlp": "tracing", "trace": "tracing", "endpoint": "otlp_http address", "service_name": "service", "sample_rate": "sampling sample", "sampling_rate": "sampling sample", "ratio": "sampling",
	"log_condition": "log_if", "log_skip": "log_if", "log_sampling": "sample log_if", "min_duration": "slower_than log_if", "add_x_request_id": "request_id", "unique_id_format": "request_id",
	"stats": "admin", "metrics": "admin", "stub_status": "admin", "prometheus": "admin", "dashboard": "admin", "management": "admin", "monitoring": "admin", "admin_port": "admin",
	"status_page": "admin", "stats_socket": "admin", "stats_uri": "admin", "health_endpoint": "admin", "api_port": "admin", "token": "token_file", "bearer_token": "token_file", "bearer_token_file": "token_file",
	"alpn": "protocols", "proto": "protocols protocol", "listen_protocols": "protocols", "proxy_http_version": "protocol", "http_version": "protocol", "alpn_protocols": "protocols",
	"http2_max_concurrent_streams": "max_streams http2", "max_concurrent_streams": "max_streams http2", "http2_protocol_options": "http2", "h2": "http2",
	"initial_stream_window_size": "window http2", "initial_window_size": "window http2", "initial_connection_window_size": "connection_window http2",
	"includes": "include", "import": "include", "imports": "include",
}

// unknownKey explains a key that p does not have, in a server of modes m or outside
// of servers. Secure says that it looks like a security setting.
func unknownKey(p *place, m modes, name string, secure bool) (what, remedy string) {
	ignored, why := " is ignored", ""
	if p.strict {
		ignored = " has no effect"
	}
	if secure {
		ignored, why = " has no effect", noSafety
	}
	what = "unknown key " + quote(name) + ignored

	// A correctly spelt key may be in the wrong mode or the wrong place.
	if t := p.twin(); t != nil && t.key(name) != nil {
		other := placeOf(ofServer, t.modes).name
		what = quote(name) + ignored + why + ": it is a key of " + other + " only"
		if instead := counterparts[name]; instead != nil {
			return what, placeOf(ofServer, p.modes).name + " has " + list(instead)
		}
		return what, "remove it"
	}
	// A key with an equivalent here is more likely that of another program than a key of the same name from elsewhere in this file.
	ours := strings.Fields(foreign[name])
	for _, word := range ours {
		if p.key(word) != nil {
			return what + why, "here it is called " + quote(word)
		}
	}
	near := func(q *place) bool { return q != p && q.modes&m != 0 }
	var elsewhere []string
	for _, q := range places {
		if elsewhere != nil && q.level >= ofHealthCheck {
			break // a common name that also exists there was probably not meant for there
		}
		if near(q) && q.owns(name) && !slices.Contains(elsewhere, q.name) {
			elsewhere = append(elsewhere, q.name)
		}
	}
	if len(elsewhere) > 0 {
		return what + " here" + why, "it belongs in " + join(elsewhere)
	}

	what += why
	for _, word := range ours {
		for _, q := range places {
			if near(q) && q.owns(word) {
				return what, "here it is called " + quote(word) + ", and belongs in " + q.name
			}
		}
	}
	if near := nearest(name, p.names()); near != nil {
		if mine := slices.DeleteFunc(slices.Clone(near), func(n string) bool { return !p.owns(n) }); len(mine) > 0 {
			near = mine
		}
		return what, didYouMean(near)
	}
	for _, q := range places {
		if !near(q) {
			continue
		}
		if found := nearest(name, q.names()); len(found) == 1 && q.owns(found[0]) {
			return what, didYouMean(found) + " It belongs in " + q.name
		}
	}
	switch names := p.names(); {
	case len(names) == 1:
		return what, "remove it; the only key here is " + quote(names[0])
	case len(names) <= 6:
		return what, "remove it; the keys here are " + list(names)
	}
	return what, "remove it"
}

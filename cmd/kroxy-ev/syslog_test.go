package main_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// syslogServer receives syslog messages.
type syslogServer struct {
	c        net.PacketConn
	mu       sync.Mutex
	messages []string
}

func startSyslogServer(t *testing.T, network, at string) *syslogServer {
	t.Helper()
	c, err := net.ListenPacket(network, at)
	if err != nil {
		t.Fatal(err)
	}
	d := &syslogServer{c: c}
	var done sync.WaitGroup
	done.Go(func() {
		p := make([]byte, 1<<16)
		for {
			n, _, err := c.ReadFrom(p)
			if err != nil {
				return
			}
			d.mu.Lock()
			d.messages = append(d.messages, string(p[:n]))
			d.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = c.Close()
		done.Wait()
	})
	return d
}

// stop closes the server's socket. A process that is being forked would keep it open, and receive messages in vain, until its exec.
func (d *syslogServer) stop() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	_ = d.c.Close()
}

// awaitMessages waits for n messages that match.
func (d *syslogServer) awaitMessages(t *testing.T, n int, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(t, strconv.Itoa(n)+" messages like "+pattern, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		found := 0
		for _, m := range d.messages {
			if re.MatchString(m) {
				found++
			}
		}
		return found >= n
	})
}

// Both logs can go to syslog, with or without files. A server that goes away and comes back is used again, and nothing waits for it.
func TestSyslog(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		dir := t.TempDir()
		path, file := filepath.Join(dir, "log"), filepath.Join(dir, "access.log")
		far, near := startSyslogServer(t, "udp", "127.0.0.1:0"), startSyslogServer(t, "unixgram", path)
		host := namedHosts(t, 1)[0]
		one, two, three := reservePort(t), reservePort(t), reservePort(t)
		config := object{
			"workers_num": 2,
			"servers":     object{"b": object{"hosts": []endpoint{host.endpoint}}, "dead": object{"hosts": []endpoint{refusing(t)}}},
			"syslog":      object{"address": "unix:" + path, "facility": "local2", "tag": "edge"},
			"http": []object{
				{"port": one, "proxy_to": "b", "file_log": file, "format_log": "<$request_uri>"},
				{"port": two, "proxy_to": "b", "format_log": "json", "syslog": object{"address": "udp:" + far.c.LocalAddr().String(), "severity": "notice"}},
			},
			"stream": object{"port": three, "proxy_to": "dead", "syslog": false},
		}
		p := startFile(t, multi, nil, config)
		const time, rest = `1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z \S+ edge \d+ `, " - "
		near.awaitMessages(t, 1, `^<150>`+time+"error"+rest+`msg="kroxy-ev: serving" `)
		ask := func(port int, uri string) {
			t.Helper()
			p.port = port
			c := p.client()
			p.get(c, uri)
			c.CloseIdleConnections()
		}
		ask(one, "/near")
		near.awaitMessages(t, 1, `^<150>`+time+"access"+rest+`</near>$`)
		eventually(t, "the file has the line too", func() bool { l := lines(t, file); return len(l) == 1 })
		expectMatch(t, lines(t, file)[0], stamp+"</near>$")
		ask(two, "/far")
		far.awaitMessages(t, 1, `^<149>`+time+"access"+rest+`{"time_iso8601":".*"request_uri":"/far".*}$`)
		p.port = three
		expectClosed(t, p.dial())
		near.awaitMessages(t, 1, `^<147>`+time+"error"+rest+`msg="stream: session closed" `)

		near.stop()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			ask(one, "/lost?")
		}
		again := startSyslogServer(t, "unixgram", path)
		ask(one, "/again")
		again.awaitMessages(t, 1, "</again>$")

		config["error_log_format"] = "json"
		delete(config, "syslog")
		config["syslog"] = object{"address": "udp:" + far.c.LocalAddr().String(), "access_log": false}
		config["http"].([]object)[1]["syslog"] = object{"access_log": true, "tag": "two"}
		p.reloadTo(config)
		far.awaitMessages(t, 1, `^<30>1 \S+ \S+ kroxy-ev \d+ error - {"msg":"kroxy-ev: reloaded"}$`)
		ask(two, "/two")
		far.awaitMessages(t, 1, `^<30>1 \S+ \S+ two \d+ access - {.*"request_uri":"/two"`)
		p.stop()
		far.awaitMessages(t, 1, `error - {"msg":"kroxy-ev: stopped"`)
	})
}

// A syslog server that does not read delays nothing, and the loss of messages is logged.
func TestSyslogStuck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	stuck, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stuck.Close() })
	port := reservePort(t)
	p := startFile(t, false, nil, object{"http": object{"port": port, "respond": object{"status": 204},
		"syslog": object{"address": "unix:" + path}, "format_log": "$request_uri"}})
	p.port = port
	c := p.client()
	long := make([]byte, 8000)
	for i := range long {
		long[i] = 'x'
	}
	lost := regexp.MustCompile(`syslog: lines are being lost.*lines lost`)
	eventually(t, "lines are lost", func() bool {
		for range 50 {
			p.get(c, "/"+string(long))
		}
		return lost.MatchString(p.stderr.String())
	})
	p.stop()
}

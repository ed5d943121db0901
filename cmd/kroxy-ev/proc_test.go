package main_test

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Information about a process from /proc: see proc(5).

// descriptors counts the open files by kind: "socket", "pipe", "anon_inode" and "other".
func (p *process) descriptors() map[string]int {
	p.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.pid())
	list, err := os.ReadDir(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, e := range list {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed since
		}
		kind, _, ok := strings.Cut(target, ":")
		if !ok {
			kind = "other"
		}
		counts[kind]++
	}
	return counts
}

// sockets returns the number of open sockets.
func (p *process) sockets() int { return p.descriptors()["socket"] }

// awaitSockets waits until ok returns true for the number of open sockets. If ok never does, the failure lists the sockets. Ok should compare by <= or >=:
// an earlier number that it compares with may have counted a socket that was about to be closed.
func (p *process) awaitSockets(t *testing.T, what string, ok func(open int) bool) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		open := p.sockets()
		if ok(open) {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("timed out after %v, waiting until: %s; %d sockets are open:\n%s", patience, what, open, p.listSockets())
		}
	}
}

// listSockets describes up to 100 open sockets, one a line: descriptor, inode, and what /proc/PID/net knows: addresses, state and queues.
func (p *process) listSockets() string {
	rows := map[string]string{} // by inode
	for file, inode := range map[string]int{"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "unix": 6, "netlink": 9} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.pid(), file))
		for row := range strings.Lines(string(text)) {
			if f := strings.Fields(row); len(f) > inode {
				rows[f[inode]] = describeSocket(file, f)
			}
		}
	}
	var list strings.Builder
	dir := fmt.Sprintf("/proc/%d/fd", p.pid())
	files, _ := os.ReadDir(dir)
	n := 0
	for _, e := range files {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			if n++; n > 100 {
				return list.String() + "  ...\n"
			}
			inode = strings.TrimSuffix(inode, "]")
			fmt.Fprintf(&list, "  fd %s, inode %s: %s\n", e.Name(), inode, cmp.Or(rows[inode], "not in /proc/PID/net: neither bound nor connected, or closed by now"))
		}
	}
	return list.String()
}

// describeSocket formats a row of /proc/PID/net/FILE.
func describeSocket(file string, fields []string) string {
	if !strings.HasPrefix(file, "tcp") && !strings.HasPrefix(file, "udp") {
		return file + " " + strings.Join(fields, " ")
	}
	// Sl, local address, remote address, state, queues (proc_net_tcp(5)).
	states := []string{"?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"}
	state := fields[3]
	if n, err := strconv.ParseUint(state, 16, 8); err == nil && n < uint64(len(states)) {
		state = states[n]
	}
	return fmt.Sprintf("%s %s -> %s %s, bytes unsent:unread %s", file, hexAddress(fields[1]), hexAddress(fields[2]), state, fields[4])
}

// hexAddress formats an address as /proc/net/tcp has it: 32-bit words in the machine's byte order, and a port.
func hexAddress(s string) string {
	address, portText, _ := strings.Cut(s, ":")
	ip, err := hex.DecodeString(address)
	port, err2 := strconv.ParseUint(portText, 16, 16)
	if err != nil || err2 != nil || len(ip)%4 != 0 {
		return s
	}
	for i := 0; i < len(ip); i += 4 {
		binary.NativeEndian.PutUint32(ip[i:], binary.BigEndian.Uint32(ip[i:]))
	}
	return net.JoinHostPort(net.IP(ip).String(), strconv.FormatUint(port, 10))
}

// status returns a number in /proc/PID/status, such as "VmRSS" (in KiB) or "Threads".
func (p *process) status(name string) int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(text)
	if found == nil {
		p.t.Fatalf("no %s in /proc/PID/status", name)
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

// cpu returns the CPU time that the process has used so far, in units of 10 ms.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	// The name, in parentheses, is the second field; utime is the 14th and stime the 15th.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// expectIdle demands that the process uses less CPU time than limit in one of the next seconds: on a slow machine, work that is left may fill the first ones.
func (p *process) expectIdle(limit time.Duration) {
	p.t.Helper()
	var used time.Duration
	for range 5 {
		before := p.cpu()
		time.Sleep(time.Second)
		if used = p.cpu() - before; used < limit {
			return
		}
	}
	p.t.Errorf("kroxy-ev used %v of CPU in a second, and hardly less in the seconds before, want less than %v", used, limit)
}

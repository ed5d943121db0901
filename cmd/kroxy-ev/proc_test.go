package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What /proc tells of a process: see proc(5).

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

func (p *process) sockets() int { return p.descriptors()["socket"] }

// status is a number in /proc/PID/status, such as "VmRSS" (in KiB) or "Threads".
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

// cpu is the time that the process has computed so far, in the kernel's steps of 10 ms.
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

// expectIdle demands that the process computes less than limit in a second from now.
func (p *process) expectIdle(limit time.Duration) {
	p.t.Helper()
	before := p.cpu()
	time.Sleep(time.Second)
	if used := p.cpu() - before; used >= limit {
		p.t.Errorf("kroxy-ev used %v of CPU in a second, want less than %v", used, limit)
	}
}

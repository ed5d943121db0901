package bench

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes what a run was made on. Unknown fields are "".
type machine struct {
	CPU     string // model
	CPUs    int    // that this process may use
	Proxies string // numbers of the CPUs for the proxies
	Rest    string // numbers of the CPUs for load, hosts and everything else
	Memory  string
	Virtual string // kind of virtual machine, or that none was detected
	System  string // distribution
	Kernel  string
	Go      string
	Files   int // limit on open files
}

// lookAtMachine describes this machine.
func lookAtMachine(c cores, files int) machine {
	m := machine{
		CPUs: c.proxy.Count(), Proxies: numbers(c.proxy), Rest: numbers(c.rest),
		Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Files: files,
	}
	if c.pinned {
		m.CPUs += c.rest.Count()
	}
	cpuinfo := readFile("/proc/cpuinfo")
	m.CPU = cmp.Or(entry(cpuinfo, "model name", ":"), entry(cpuinfo, "Model", ":"), runtime.GOARCH)
	m.Virtual = virtual(entry(cpuinfo, "flags", ":"), firstLine(said("systemd-detect-virt", "--vm")))
	m.Memory = gigabytes(entry(readFile("/proc/meminfo"), "MemTotal", ":"))
	m.System = strings.Trim(entry(readFile("/etc/os-release"), "PRETTY_NAME", "="), `"`)
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// entry returns the value of the first line of text that is key, separator and value, or "".
func entry(text, key, separator string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// virtual combines the CPU's flags and the result of systemd-detect-virt, which knows more but is not installed everywhere.
func virtual(flags, detected string) string {
	switch {
	case detected != "" && detected != "none":
		return "virtual (" + detected + ")"
	case strings.Contains(" "+flags+" ", " hypervisor "):
		return "virtual"
	case detected == "none" || flags != "":
		return "no hypervisor seen"
	}
	return ""
}

// gigabytes converts a size from /proc/meminfo, such as "8131672 kB".
func gigabytes(s string) string {
	kib, err := strconv.ParseFloat(strings.TrimSuffix(s, " kB"), 64)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.1f GB", kib*1024/1e9)
}

// numbers lists the CPUs of set.
func numbers(set unix.CPUSet) string {
	var list []string
	for cpu := 0; len(list) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			list = append(list, strconv.Itoa(cpu))
		}
	}
	return strings.Join(list, ", ")
}

// readFile returns the content of a file, or "".
func readFile(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// said returns a program's output on both streams, whether or not it succeeds; "" if the program does not exist.
func said(program string, args ...string) string {
	out, _ := exec.Command(program, args...).CombinedOutput()
	return string(out)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// programs returns the names and versions of the installed programs that take part, as they print them, with the OpenSSL that they use. An empty
// path means that the program is not installed.
func programs(nginx, haproxy, wrk, h2load string) []string {
	var list []string
	if nginx != "" {
		s := said(nginx, "-V")
		list = append(list, withOpenSSL(strings.TrimPrefix(firstLine(s), "nginx version: "), nginxOpenSSL(s)))
	}
	if haproxy != "" {
		s := said(haproxy, "-vv")
		list = append(list, withOpenSSL(firstLine(s), entry(s, "Running on OpenSSL version", ":")))
	}
	if wrk != "" {
		name, _, _ := strings.Cut(firstLine(said(wrk, "-v")), "Copyright") // wrk prints it and then fails
		list = append(list, strings.TrimSpace(name))
	}
	if h2load != "" {
		list = append(list, firstLine(said(h2load, "--version")))
	}
	return list
}

// nginxOpenSSL finds OpenSSL's version in the output of nginx -V: "built with A", or "built with A (running with B)".
func nginxOpenSSL(s string) string {
	for line := range strings.Lines(s) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "built with OpenSSL"); ok {
			if _, running, ok := strings.Cut(v, "(running with "); ok {
				return strings.TrimSuffix(running, ")")
			}
			return "OpenSSL" + v
		}
	}
	return ""
}

func withOpenSSL(program, version string) string {
	if version == "" {
		return program
	}
	return program + ", with " + version
}

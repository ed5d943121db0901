package service

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-json"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// steered is a program with many hosts that remembers the last order it received.
type steered struct {
	admin.Backend
	order chan string
}

func (*steered) Status() (*admin.Status, error) {
	g := admin.Group{Name: "web", Hosts: make([]admin.Host, 4000)}
	for i := range g.Hosts {
		g.Hosts[i].Host = fmt.Sprint("127.0.0.1:", i)
	}
	return &admin.Status{Version: "1", Groups: []admin.Group{g}}, nil
}

func (s *steered) SetHost(group, host string, o admin.HostOrder, by string) error {
	text, err := json.Marshal(o)
	if host == "127.0.0.1:7" {
		return errors.New("it cannot be done")
	}
	s.order <- fmt.Sprintf("%s %s %s %s", group, host, text, by)
	return err
}

// configFile writes a valid configuration file.
func configFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.json")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Requests for the status and orders about hosts are answered even while the program accepts no other orders, for example during a reload.
func TestOrdersAtOnce(t *testing.T) {
	t.Parallel()
	path := configFile(t)
	b := &steered{order: make(chan string, 1)}
	ct, err := openControl(path, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ct.close()
	text, _, err := Status(path)
	if len(text) < maxGreeting {
		t.Errorf("a status of %d bytes is no longer than a greeting", len(text))
	}
	var s admin.Status
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.Version != "1" || len(s.Groups) != 1 || len(s.Groups[0].Hosts) != 4000 {
		t.Fatalf("%v: %.200s", err, text)
	}
	drain, weight := true, 5
	for _, test := range []struct {
		target, want string
		order        admin.HostOrder
	}{
		{"web/127.0.0.1:1", `web 127.0.0.1:1 {"drain":true,"weight":null} command of user %d`, admin.HostOrder{Drain: &drain}},
		{"web/127.0.0.1:2", `web 127.0.0.1:2 {"drain":null,"weight":5} command of user %d`, admin.HostOrder{Weight: &weight}},
	} {
		if _, err := SetHost(path, test.target, test.order); err != nil {
			t.Fatal(err)
		}
		if got, want := <-b.order, fmt.Sprintf(test.want, os.Getuid()); got != want {
			t.Errorf("order %s, want %s", got, want)
		}
	}
	for target, want := range map[string]string{"wbe/127.0.0.1:1": `kroxy-ev: there is no group "wbe"; did you mean "web"?`, "web/127.0.0.1:7": "kroxy-ev: it cannot be done"} {
		if _, err := SetHost(path, target, admin.HostOrder{Drain: &drain}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v", target, err)
		}
	}
	ct.become(controlLeaves)
	ct.become(controlStopping)
	if _, _, err := Status(path); !errors.Is(err, errStopping) {
		t.Errorf("error %v of a process that stops", err)
	}
	if a := ct.atOnce(verbStatus, nil, nil); a.Error != errStopping.Error() {
		t.Errorf("it answers %+v to whoever has come before", a)
	}
}

// A process that predates arguments of orders reads 64 bytes, and knows no verbs except reload and upgrade.
func TestOrdersToAnOlderProcess(t *testing.T) {
	t.Parallel()
	path := configFile(t)
	ct := &control{path: path, abs: path}
	ln, err := net.Listen("unix", controlPrefix(path)+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			send(c, ct.greet(c.(*net.UnixConn)), answerTimeout)
			if verb, err := bufio.NewReader(io.LimitReader(c, 64)).ReadString('\n'); err == nil && verb != "" {
				send(c, map[string]any{"Error": errUnknownOrder.Error(), "Warnings": nil}, answerTimeout)
			}
			_ = c.Close()
		}
	}()
	const want = `kroxy-ev: the running kroxy-ev is older than this one, and has no %q; switch to this one with "kroxy-ev upgrade", or restart it`
	if _, _, err := Status(path); err == nil || err.Error() != fmt.Sprintf(want, "status") {
		t.Errorf("status: error %v", err)
	}
	drain := true
	if _, err := SetHost(path, "a-group-with-a-long-name/"+strings.Repeat("1", 100), admin.HostOrder{Drain: &drain}); err == nil || err.Error() != fmt.Sprintf(want, "drain") {
		t.Errorf("drain: error %v", err)
	}
}

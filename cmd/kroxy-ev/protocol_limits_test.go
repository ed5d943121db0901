package main_test

import (
	"io"
	"testing"

	"golang.org/x/net/http2"
)

// Clients get the limits that "http2" sets in SETTINGS. After a reload, clients that connect get the new ones.
func TestHTTP2LimitsInSettings(t *testing.T) {
	t.Parallel()
	port := reservePort(t)
	with := func(keys settings) setup {
		return setup{mode: "http", hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"listen": []listenEntry{{"port": port, "protocols": []string{"h2c"}}}, "http2": keys}}
	}
	expect := func(streams, window, connection uint32) {
		t.Helper()
		c := local(port).dial(t)
		defer c.Close()
		f := http2.NewFramer(c, c)
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		told := map[http2.SettingID]uint32{}
		grown := uint32(65535) // the initial window of a connection
		for acked := false; !acked; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				acked = frame.IsAck()
				_ = frame.ForeachSetting(func(s http2.Setting) error { told[s.ID] = s.Val; return nil })
			case *http2.WindowUpdateFrame:
				grown += frame.Increment
			}
		}
		if told[http2.SettingMaxConcurrentStreams] != streams || told[http2.SettingInitialWindowSize] != window || grown != connection {
			t.Errorf("SETTINGS are %v and the connection's window is %d; want %d, %d and %d", told, grown, streams, window, connection)
		}
	}
	p := startOn(t, port, with(settings{}))
	expect(100, 64<<10, 1<<20)
	p.rewrite(with(settings{"max_streams": 7, "window": "128KiB", "connection_window": "2MiB"}))
	p.mustOrder("reload")
	expect(7, 128<<10, 2<<20)
}

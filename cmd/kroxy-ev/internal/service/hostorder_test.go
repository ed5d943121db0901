package service

import (
	"strings"
	"testing"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

func TestFindHost(t *testing.T) {
	t.Parallel()
	groups := []admin.Group{
		{Name: "web", Hosts: []admin.Host{{Host: "127.0.0.1:9001", Name: "one"}, {Host: "127.0.0.1:9002", Name: "one"}, {Host: "127.0.0.1:9002"}, {Host: "app:80", Name: "two"}}},
		{Name: "web/api", Hosts: []admin.Host{{Host: "unix:/run/app.sock"}}},
		{Name: "db", Hosts: []admin.Host{{Host: "[::1]:5432"}}},
	}
	for target, want := range map[string]string{
		"web/127.0.0.1:9001":         "web|127.0.0.1:9001",
		"web/127.0.0.1:9002":         "web|127.0.0.1:9002",
		"web/two":                    "web|app:80",
		"web/api/unix:/run/app.sock": "web/api|unix:/run/app.sock",
		"db/[::1]:5432":              "db|[::1]:5432",
		"web/one":                    `group "web" has several hosts named "one"; name it by its address: "127.0.0.1:9001", "127.0.0.1:9002", "app:80"`,
		"wbe/127.0.0.1:9001":         `there is no group "wbe"; did you mean "web"? the groups are "web", "web/api", "db"`,
		"queue/a":                    `there is no group "queue"; the groups are "web", "web/api", "db"`,
		"db/app":                     `group "db" has no host "app"; its hosts are "[::1]:5432"`,
		"web/app":                    `group "web" has no host "app"; did you mean "app:80"? its hosts are "127.0.0.1:9001", "127.0.0.1:9002", "app:80"`,
		"db/[::1]:5423":              `group "db" has no host "[::1]:5423"; did you mean "[::1]:5432"? its hosts are "[::1]:5432"`,
		"web/":                       `group "web" has no host ""; its hosts are "127.0.0.1:9001", "127.0.0.1:9002", "app:80"`,
		"db":                         `"db" is a group; name one of its hosts: "db/[::1]:5432"`,
		"app:80":                     `"app:80" does not say which group; did you mean "web/app:80"?`,
		"":                           `there is no group ""; the groups are "web", "web/api", "db"`,
	} {
		group, host, err := findHost(groups, target)
		got := group + "|" + host
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", target, got, want)
		}
	}
	if _, _, err := findHost(nil, "a/b"); err == nil {
		t.Error("a host was found where there are none")
	}
	many := admin.Group{Name: "many"}
	for _, port := range strings.Split("0123456789", "") {
		many.Hosts = append(many.Hosts, admin.Host{Host: "h:" + port})
	}
	if _, _, err := findHost([]admin.Group{many}, "many/x"); err == nil || !strings.HasSuffix(err.Error(), `"h:7" and 2 more`) {
		t.Error(err)
	}
}

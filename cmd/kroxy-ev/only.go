package main

import "kroxy-ev/config"

// onlyServer is the server that has the process's keys.
func onlyServer(cfg *config.Config) *config.Server { return cfg.Servers[0] }

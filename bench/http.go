package bench

// The rows of HTTP mode with small requests: 64 connections and the access log on, unless the name says otherwise.
var (
	httpSmall         = smallRow("HTTPSmall", smallConns, true)
	httpSmallNoLog    = smallRow("HTTPSmallNoLog", smallConns, false)
	httpSmall1        = smallRow("HTTPSmall1", 1, true)
	httpSmall1NoLog   = smallRow("HTTPSmall1NoLog", 1, false)
	httpSmall512      = smallRow("HTTPSmall512", manyConns, true)
	httpSmall512NoLog = smallRow("HTTPSmall512NoLog", manyConns, false)

	httpConnect = requestRow(workload{name: "HTTPConnect", mode: modeHTTP, hosts: hostsSmall}, getClose, smallConns)
	httpHeaders = requestRow(workload{name: "HTTPHeaders", mode: modeHTTP, hosts: hostsSmall}, getAsABrowser, smallConns)
	httpPost    = requestRow(workload{name: "HTTPPost", mode: modeHTTP}, post16K, smallConns)
	httpChunked = requestRow(workload{name: "HTTPChunked", mode: modeHTTP}, getChunked, smallConns)
)

var (
	httpDownload = bulkRow("HTTPDownload", modeHTTP, job{Exchange: getLarge})
	httpIdle     = idleRow("HTTPIdle", modeHTTP, getSmall)
)

func smallRow(name string, conns int, log bool) *workload {
	return requestRow(workload{name: name, mode: modeHTTP, hosts: hostsSmall, noLog: !log}, getSmall, conns)
}

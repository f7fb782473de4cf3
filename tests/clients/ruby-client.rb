# The Ruby SDK v3, each session with a client of its own.
require "aws-sdk-core"

sessions, calls, pause = ARGV.map(&:to_i)
Thread.report_on_exception = false

threads = Array.new(sessions) do
  Thread.new do
    sts = Aws::STS::Client.new(endpoint: ENV["ENDPOINT"])
    calls.times do |number|
      sleep pause if number > 0
      sts.get_caller_identity
    end
  end
end
threads.each(&:join)

"""What a run costs on this machine, part by part: each module measures one thing and says it in lines of text.

`measure(settings, quick)` gives numbers as JSON knows them, `lines(result)` the same for a terminal.
"""

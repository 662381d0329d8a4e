-- Which revision of a task is better: in success, cost, tokens and time, and row by row where both were run?
with compared as (
    select task, unnest([
        {'place': 11, 'figure': 'success', 'value': success_difference, 'low': success_difference_low,
         'high': success_difference_high, 'runs': rows},
        {'place': 12, 'figure': 'wins of wins and losses', 'value': win, 'low': win_low, 'high': win_high,
         'runs': wins + losses},
        {'place': 13, 'figure': 'equal answers', 'value': equal_answers, 'low': equal_answers_low,
         'high': equal_answers_high, 'runs': answers},
        {'place': 14, 'figure': 'cost', 'value': cost_difference, 'low': cost_difference_low,
         'high': cost_difference_high, 'runs': priced_rows},
        {'place': 15, 'figure': 'seconds', 'value': seconds_difference, 'low': seconds_difference_low,
         'high': seconds_difference_high, 'runs': timed_rows},
        {'place': 16, 'figure': 'seconds_p50', 'value': seconds_difference_p50, 'low': null, 'high': null,
         'runs': timed_rows}
    ], recursive := true), revision_tag, against_tag
    from revision_pairs
)
select task, figure, revision, less, value, low, high, runs
from (
    select task, place, figure, revision_tag as revision, null as less, value, low, high, runs
    from revision_bounds
    union all
    select task, place, figure, revision_tag, against_tag, value, low, high, runs
    from compared
)
order by task, place, revision, less nulls first;

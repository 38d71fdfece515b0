-- classes: objects of the sample that are one, that are called one, and both
with labelled as (
    select transient_class as called,
        map {6: 'ulens', 15: 'tde', 16: 'eb', 42: 'snii', 52: 'sniax', 53: 'mira', 62: 'snibc', 64: 'kn',
             65: 'mdwarf', 67: 'snia91bg', 88: 'agn', 90: 'snia', 92: 'rrl', 95: 'slsn'}[target] as truth
    from catalog
),
each as (
    select truth as class, true as is_one, coalesce(called = truth, false) as is_called from labelled
    union all
    select called, false, true from labelled where called <> truth
)
select class, count(*) filter (where is_one) as are, count(*) filter (where is_called) as called,
    count(*) filter (where is_one and is_called) as both
from each
group by class
order by are desc, class

-- the ten most anomalous objects
with named as (
    select *,
        map {6: 'ulens', 15: 'tde', 16: 'eb', 42: 'snii', 52: 'sniax', 53: 'mira', 62: 'snibc', 64: 'kn',
             65: 'mdwarf', 67: 'snia91bg', 88: 'agn', 90: 'snia', 92: 'rrl', 95: 'slsn'}[target] as truth,
        greatest(transient_class_p_ulens, transient_class_p_tde, transient_class_p_eb, transient_class_p_snii,
            transient_class_p_sniax, transient_class_p_mira, transient_class_p_snibc, transient_class_p_kn,
            transient_class_p_mdwarf, transient_class_p_snia91bg, transient_class_p_agn, transient_class_p_snia,
            transient_class_p_rrl, transient_class_p_slsn) as probability
    from catalog
)
select object_id, transient_class as class, round(probability::double, 3) as probability, truth,
    round(transient_anomaly_score::double, 4) as anomaly_score,
    round(transient_anomaly_pct::double, 1) as percentile
from named
order by transient_anomaly_score desc nulls last, object_id
limit 10
